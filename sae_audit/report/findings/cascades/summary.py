"""Summary rows on dormant features that activate, and on whether the same features suffice."""

from collections import Counter
from collections.abc import Sequence

from sae_audit.findings import Estimate, PooledCascade, PooledCompensation, PooledNull, RaisedSet
from sae_audit.pages.wording import between, nats, percent, share_said
from sae_audit.record.run import Run
from sae_audit.report.findings.cascades.counts import RAISED_NAMES, needed, one_by_one
from sae_audit.report.section import Part, SummaryRow
from sae_audit.statistics import share

_HARDLY = 0.1
"""Largest share that is called none in an answer of one word."""


def summary_rows(run: Run) -> Sequence[SummaryRow]:
    return [_cascades(run), *_sufficiency(run)]


def _cascades(run: Run) -> SummaryRow:
    question, n = "Do backups take over?", len(run.cascades)
    if not n:
        return SummaryRow(
            question=question,
            answer="Not followed: no prompt was flipped.",
            control="None.",
            part=Part.EXTENT,
        )
    depths = Counter(found.depth for found in run.cascades)
    deeper = sum(count for depth, count in depths.items() if depth > 1)
    counted = ", ".join(f"{count} at depth {depth}" for depth, count in sorted(depths.items()))
    settings, pooled = run.config.cascade, run.pooled_cascade
    joining = (
        f"On {share_said(share(deeper, n))} prompts silent features begin to fire once the first "
        f"are off, and join in (they belong to the minimal set, or are of at most "
        f"{settings.max_tested} tested and lower the score by {settings.min_effect:g} nats): {counted}"
    )
    if pooled is None:
        return SummaryRow(
            question=question, answer=f"{joining}.", control="None.", part=Part.EXTENT
        )
    claim = pooled.backups
    verdict = "Yes" if claim.stands else "Not shown"
    return SummaryRow(
        question=question,
        answer=f"{verdict}. {claim.reason} {joining}, mean {between(pooled.depths.mean)} waves. "
        f"{_undone(pooled.compensation)} {needed(pooled.necessity)}{_edges(pooled)}",
        control=f"{_restored(pooled)}{_null(pooled.null)}{_stand_ins(pooled)}{_activated(pooled)}",
        part=Part.EXTENT,
    )


def _restored(pooled: PooledCascade) -> str:
    beside, found = pooled.backups.beside, pooled.restoration
    if not beside or found is None:
        return ""
    rank = (
        f" p {found.p_value:.2g}, the mean rank among these." if found.p_value is not None else ""
    )
    return f"{beside[0].upper()}{beside[1:]}.{rank} {one_by_one(found)} "


def _undone(found: PooledCompensation | None) -> str:
    if found is None:
        return "No compensation ratio could be stated."
    stated = (
        f"compensation ratio {between(found.ratio, nats)}, of the means; 0: nothing covers; 1: all "
        "is undone; negative: what activates adds to the effect"
        if found.ratio is not None
        else "no ratio: that effect is within its interval of 0"
    )
    return (
        f"{_rescue(found.undone)} What begins to fire undoes {between(found.undone, nats)} of the "
        f"direct effect of {between(found.direct, nats)} nats "
        f"(mean over {found.undone.n} prompts; {stated})."
    )


def _rescue(undone: Estimate) -> str:
    if undone.high < 0.0:
        return "They rescue nothing: they lower the refusal further."
    return (
        "A part of the effect is undone."
        if undone.low > 0.0
        else "Whether they undo anything is open."
    )


def _edges(pooled: PooledCascade) -> str:
    n = sum(one.n for one in pooled.edge_kinds)
    if not n:
        return ""
    kinds = ", ".join(f"{one.n} {one.kind.value}" for one in pooled.edge_kinds)
    return f" Tested one by one, {n} edges say which activates which: {kinds}."


def _null(found: PooledNull | None) -> str:
    if found is None:
        return "No matched random set could be drawn for the first wave."
    undone = (
        f" Of its direct effect of {between(found.compensation.direct, nats)} nats what activates "
        f"undoes {between(found.compensation.undone, nats)}."
        if found.compensation is not None
        else ""
    )
    return (
        f"Behind a matched random set, one a prompt, the same search finds such features on "
        f"{between(found.depths.deeper, percent)}, mean {between(found.depths.mean)} waves (p of "
        f"the difference {found.p_value:.2g}); the score is not near 0 there, but "
        f"{between(found.depths.score_first, nats)}.{undone}"
    )


def _stand_ins(pooled: PooledCascade) -> str:
    shares = ", ".join(
        f"{between(one.control, percent)} ({one.kind.value})"
        for one in pooled.edge_kinds
        if one.control is not None
    )
    return (
        f" Switching off a random feature in the cause's place woke the same one in {shares} of tries."
        if shares
        else ""
    )


def _activated(pooled: PooledCascade) -> str:
    if not pooled.active:
        return ""
    first = pooled.active[0]
    return (
        f" Ablating the first wave activates {between(first.n_activated, '{:.0f}'.format)} dormant "
        f"features; matched random sets, {between(first.n_random, '{:.0f}'.format)}."
    )


def _sufficiency(run: Run) -> list[SummaryRow]:
    found = run.sufficiency
    if found is None or not found.sets:
        return []
    raised = {one.name: one for one in found.sets}
    one = raised.get("pooled", found.sets[0])
    return [
        SummaryRow(
            question="Are the same features enough to refuse?",
            answer=f"{_enough(one.refused)} Switching the {RAISED_NAMES[one.name]} on, as far as "
            f"on refused prompts, made {share_said(one.refused)} harmless prompts refused; the "
            f"score rose by {between(one.score_rise)} nats.",
            control=f"Random sets that write as much: {share_said(one.refused_random)}, "
            f"{between(one.score_rise_random)} nats.{_direction_added(run, one)}",
            part=Part.EXTENT,
        )
    ]


def _enough(refused: Estimate) -> str:
    """Yes if nearly all are refused, no if hardly any is; else for some."""
    if refused.high <= _HARDLY:
        return "No."
    return "Yes." if refused.low >= 1.0 - _HARDLY else "Not on every prompt."


def _direction_added(run: Run, found: RaisedSet) -> str:
    """Positive control, in words: refusal of these prompts if the direction is added."""
    check = run.direction_check
    if check is None:
        return ""
    same = "the same" if check.induced.own.n == found.refused.n else f"{check.induced.own.n}"
    return (
        f" Adding the refusal direction made {share_said(check.induced.own)} of {same} "
        f"prompts refused; random directions, {percent(check.induced.random.mean)} (at most "
        f"{percent(check.induced.random.highest)})."
    )
