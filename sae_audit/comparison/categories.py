"""Verdicts on categories of prompts: those that a test can speak of, and those too small for any."""

from collections.abc import Sequence

from sae_audit.comparison.claims import score_name
from sae_audit.comparison.types import BehaviourChange, Change, Tested, Verdict
from sae_audit.comparison.wording import Tests, could_show, kind_of, signed
from sae_audit.findings import Estimate


def categories(changes: Sequence[BehaviourChange], tests: Tests) -> list[Verdict]:
    """Categories whose score fell or rose; those that are too small, as counts, worst first."""
    if not changes:
        return []
    tested = {score_name(change.label, change.category): change for change in changes}
    small = [one for name, one in tested.items() if tests[name].corrected_p is None]
    large = {name: one for name, one in tested.items() if tests[name].corrected_p is not None}
    found: list[Verdict] = []
    for kind, words in ((Change.LOWER, "fell"), (Change.HIGHER, "rose")):
        named = {
            name: one
            for name, one in large.items()
            if kind_of(tests[name], one.score.difference.value) is kind
        }
        if named:
            worst = sorted(named, key=lambda n: named[n].score.difference.value)
            listed = "; ".join(_category(named[name], tests[name]) for name in worst)
            found.append(
                Verdict(
                    kind=kind,
                    statement=f"Categories whose refusal score {words}: {listed}.",
                    evidence=f"Paired scores of {_of_categories(len(large), len(changes))}.",
                    tests=tuple(worst),
                )
            )
    if large and not found:
        found.append(
            Verdict(
                kind=Change.UNCHANGED,
                statement="No single category shows a change of its refusal score.",
                evidence=f"Paired scores of {_of_categories(len(large), len(changes))}. "
                f"{could_show(*(tests[name] for name in large))}",
                tests=tuple(large),
            )
        )
    return found + ([_too_small(small, tests)] if small else [])


def _category(change: BehaviourChange, test: Tested) -> str:
    return (
        f"{change.category} ({change.label}) {signed(change.score.difference)} nats, "
        f"p = {test.corrected_p:.2g}"
    )


def _of_categories(n: int, total: int) -> str:
    return f"the {n} of {total} categories that are large enough for a test"


def _too_small(changes: Sequence[BehaviourChange], tests: Tests) -> Verdict:
    worst = sorted(changes, key=_loss, reverse=True)
    listed = "; ".join(
        f"{one.category} ({one.label}) {_count(one.refused_a)} and {_count(one.refused_b)} "
        f"of {one.refused_a.n}"
        for one in worst
    )
    names = tuple(score_name(one.label, one.category) for one in worst)
    largest = max((tests[name] for name in names), key=lambda test: test.n)
    return Verdict(
        kind=Change.TOO_FEW,
        statement=f"Categories too small for any test, refused before and after: {listed}.",
        evidence=f"If every score of the largest ({largest.n} prompts) had changed one way, its p "
        f"before the correction would be {largest.smallest_p:.2g}, too large for one test among so "
        "many. They are not counted among the tests; nothing is ruled out of them.",
        tests=names,
    )


def _loss(change: BehaviourChange) -> tuple[float, bool, float]:
    """What is worse about a category: refusals lost of harmful prompts or gained of harmless ones; among
    as many, harmful prompts first; then the same of scores."""
    is_harmful = change.label == "harmful"
    sign = -1.0 if is_harmful else 1.0
    switched = (change.refused_b.value - change.refused_a.value) * change.refused_a.n
    return round(sign * switched), is_harmful, sign * change.score.difference.value


def _count(share: Estimate) -> int:
    return round(share.value * share.n)
