"""Summary rows on dormant features that activate, and on whether the same features suffice."""

from collections.abc import Sequence

from sae_audit.findings import ClaimAbout, Estimate, PooledCascade, PooledNull
from sae_audit.pages.wording import between, nats, percent, ranged, share_said
from sae_audit.record.run import Run
from sae_audit.report.findings.cascades.counts import EDGES, RAISED_NAMES, needed
from sae_audit.report.section import Part, SummaryRow
from sae_audit.report.verdict.behaviour import stands
from sae_audit.report.verdict.standing import seen_if_true
from sae_audit.statistics import share

_HARDLY = 0.1
"""Largest share that is called none in an answer of one word."""


def summary_rows(run: Run) -> Sequence[SummaryRow]:
    return [_cascades(run), *_sufficiency(run)]


def _cascades(run: Run) -> SummaryRow:
    question, pooled = "Do backups take over?", run.pooled_cascade
    if not run.cascades or pooled is None:
        answer = "Not followed: no refusal was ended." if not run.cascades else "Not counted."
        return SummaryRow(question=question, answer=answer, control="None.", part=Part.EXTENT)
    answers = [
        *_verdict(run, pooled),
        _wakes(run, pooled),
        needed(pooled.necessity),
        _links(pooled),
    ]
    controls = [*_restored(pooled), _random(pooled.null), _stand_ins(pooled), _activated(pooled)]
    return SummaryRow(
        question=question,
        answer=" ".join(one for one in answers if one),
        control=" ".join(one for one in controls if one) or "None.",
        part=Part.EXTENT,
    )


def _verdict(run: Run, pooled: PooledCascade) -> list[str]:
    found, reason = pooled.restoration, pooled.backups.reason
    if found is None:
        return [f"Not known. {reason}"]
    if stands(run, ClaimAbout.BACKUPS):
        return [f"Yes. They restore {between(found.restored, nats)} nats of the refusal score."]
    said = ["None found.", seen_if_true(run, ClaimAbout.BACKUPS)]
    if found.restored.high < 0.0:
        more = Estimate(
            value=-found.restored.value,
            low=-found.restored.high,
            high=-found.restored.low,
            n=found.restored.n,
            method=found.restored.method,
        )
        said.append(
            "What begins to fire rescues nothing: it lowers the refusal score further, by "
            f"{between(more, '{:z.2f}'.format)} nats."
        )
    else:
        said.append(reason)
    return said


def _wakes(run: Run, pooled: PooledCascade) -> str:
    deeper = share(sum(one.depth > 1 for one in run.cascades), len(run.cascades))
    return (
        f"On {share_said(deeper, 'prompts')} silent features begin to fire once the first are off, "
        f"and join in. It goes on for {between(pooled.depths.mean, '{:z.1f}'.format)} rounds on average."
    )


def _links(pooled: PooledCascade) -> str:
    n = sum(one.n for one in pooled.edge_kinds)
    kinds = ", ".join(f"{one.n} {EDGES[one.kind]}" for one in pooled.edge_kinds)
    return f"Of {n} links from one that is off to one that wakes: {kinds}." if n else ""


def _restored(pooled: PooledCascade) -> list[str]:
    found = pooled.restoration
    if found is None:
        return []
    said: list[str] = []
    if found.stand_ins is not None:
        said.append(
            f"Features that fire all along, off in their place, restore "
            f"{ranged(found.stand_ins, nats)} nats."
        )
    if found.same_score is not None:
        said.append(
            "What wakes behind unrelated features, at a score as low, restores "
            f"{between(found.same_score.restored, nats)} nats."
        )
    if found.p_value is not None:
        said.append(f"The mean rank among these is p = {found.p_value:.2g}.")
    return said


def _random(found: PooledNull | None) -> str:
    if found is None:
        return "No matched random set could be drawn."
    deeper = share_said(found.depths.deeper, "prompts")
    return f"Behind random sets as large, such features join on {deeper}."


def _stand_ins(pooled: PooledCascade) -> str:
    shares = [one.control.value for one in pooled.edge_kinds if one.control is not None]
    if not shares:
        return ""
    low, high = percent(min(shares)), percent(max(shares))
    spread = low if low == high else f"{low} to {high}"
    return f"Switching off a random feature instead woke the same one in {spread} of tries."


def _activated(pooled: PooledCascade) -> str:
    if not pooled.active:
        return ""
    own, random = pooled.active[0].n_activated, pooled.active[0].n_random
    return (
        f"After the first are off {between(own, '{:.0f}'.format)} silent features fire; after random "
        f"sets, {between(random, '{:.0f}'.format)}."
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
            f"on refused prompts, made {share_said(one.refused, 'harmless prompts')} refused. Their "
            f"score rose by {between(one.score_rise, '{:z.2f}'.format)} nats.",
            control="Random sets that write as much made "
            f"{share_said(one.refused_random, 'prompts')} refused; the score rose by "
            f"{between(one.score_rise_random, '{:z.2f}'.format)} nats.{_direction_added(run)}",
            part=Part.EXTENT,
        )
    ]


def _enough(refused: Estimate) -> str:
    """Yes if nearly all are refused, no if hardly any is; else for some."""
    if refused.high <= _HARDLY:
        return "No."
    return "Yes." if refused.low >= 1.0 - _HARDLY else "Not on every prompt."


def _direction_added(run: Run) -> str:
    """Positive control, in words: refusal of these prompts if the direction is added."""
    check = run.direction_check
    if check is None:
        return ""
    return (
        f" Adding the refusal direction made {share_said(check.induced.own, 'prompts')} refused; random "
        f"directions, at most {percent(check.induced.random.highest)}."
    )
