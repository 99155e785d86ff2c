"""Summary row on whether a simpler method would have found a set as good."""

from collections.abc import Sequence

from sae_audit.findings import Rivals, RivalTest
from sae_audit.findings.rivals import RIVAL_NAMES
from sae_audit.pages.wording import of
from sae_audit.record.run import Run
from sae_audit.report.section import Part, SummaryRow
from sae_audit.report.verdict.words import sentence


def rivals_row(run: Run) -> Sequence[SummaryRow]:
    found = run.controls.rivals
    if found is None:
        return []
    return [
        SummaryRow(
            question="Does the search find more than a ranking of training prompts would?",
            answer=_answer(found),
            control=_control(found),
            part=Part.EXTENT,
        )
    ]


def unmatched(found: Rivals) -> str:
    """The layers in which no random set removes as long a vector; empty if there is none."""
    layers = [str(one.layer) for one in found.norms if not one.matched]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}" if layers else ""


def _answer(found: Rivals) -> str:
    if not found.tests:
        return "Not known: no rival could be made."
    n = len(found.p_values)
    if found.beats_rivals:
        return f"Yes. It ended more refusals than each of {n} rivals, on {found.n} other prompts."
    beaten = n - len(found.unbeaten)
    said = [f"No. It beats {beaten} of {n} rivals on {found.n} other prompts."]
    said += [_beside(name, found.deciding(name)) for name in found.unbeaten]
    if 2.0 * 0.5**found.n > found.level:
        said.append("So few prompts could not have shown that it beats any.")
    return " ".join(said)


def _beside(name: str, tests: Sequence[RivalTest]) -> str:
    """The rival in the comparison in which it does best, in one sentence."""
    best = max(tests, key=lambda one: one.p_value)
    theirs, own, n = best.theirs.value, best.own.value, best.own.n
    ended = of(round(theirs * n), n)
    as_many = "as many" if theirs == own else f"against {round(own * n)}"
    how = " in text" if best.by == "text" else " by score"
    at = "at equal size" if best.at_equal == "size" else "with side effects as small"
    return f"{sentence(RIVAL_NAMES.get(name, name))} ended {ended}{how} {at}, {as_many}."


def _control(found: Rivals) -> str:
    said = ["A rival is beaten if it ends fewer, at equal size or with side effects as small."]
    if found.tests:
        least = min(found.p_values.values())
        most = found.p_value
        said.append(
            f"The p-values lie between {least:.2g} and {most:.2g}, by McNemar's exact test."
        )
    if not found.norms:
        said.append("No random sets: too few other features.")
    elif layers := unmatched(found):
        said.append(f"Random sets cannot remove as long a vector in {layers}.")
    return " ".join(said)
