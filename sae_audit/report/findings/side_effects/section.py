"""What sets and single candidates change on harmless prompts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sae_audit.findings import CandidateEffect, SetEffects
from sae_audit.pages.wording import between, of, percent, share_said
from sae_audit.record.run import Run
from sae_audit.report.section import Part, Section, SummaryRow, unless_stopped_early

_CANDIDATES = 25
"""Rows of the table of single candidates."""


@dataclass(frozen=True, kw_only=True)
class SetRow:
    """One set found without limits, and the number of prompts it flips."""

    found: SetEffects
    features: str
    n_prompts: int


def _set_rows(run: Run) -> list[SetRow]:
    held = Counter(one.features for one in run.unlimited_sets if one.flipped)
    rows = [
        SetRow(
            found=one,
            features=", ".join(map(str, one.features)),
            n_prompts=held[one.features],
        )
        for one in run.set_effects or []
    ]
    return sorted(rows, key=lambda row: -row.found.side_effects.kl.value)


def _costliest(run: Run) -> list[CandidateEffect]:
    found = run.candidate_effects
    effects = found.effects if found else ()
    return sorted(effects, key=lambda one: -one.kl)[:_CANDIDATES]


def _values(run: Run) -> Mapping[str, Any]:
    unlimited = [one for one in run.unlimited_sets if one.flipped]
    within = {one.features: one.side_effects.within for one in run.set_effects or []}
    return {
        "sets": _set_rows(run),
        "candidates": _costliest(run),
        "n_flipped": sum(one.flipped for one in run.minimal_sets),
        "n_unlimited": len(unlimited),
        "n_beyond": sum(not within[one.features] for one in unlimited),
    }


def _rows(run: Run) -> Sequence[SummaryRow]:
    effects = [one for one in run.minimal_sets if one.side_effects is not None]
    limits = run.config.side_effects
    unlimited = sum(one.flipped for one in run.unlimited_sets)
    without = (
        f"Without the limits (KL {limits.kl_limit:g}, first tokens "
        f"{percent(limits.first_tokens_limit)}) {of(unlimited, len(run.unlimited_sets))} refused "
        f"prompts are flipped by score, within them {of(len(effects), len(run.minimal_sets))}."
    )
    question = "Do the sets break the model?"
    if not effects:
        answer = (
            "They would: every set that flips a prompt is beyond the limits of side effects."
            if unlimited
            else "There is no set."
        )
        return [
            SummaryRow(question=question, answer=answer, control=without, part=Part.SIDE_EFFECTS)
        ]
    worst = max(
        (one.side_effects for one in effects if one.side_effects), key=lambda one: one.kl.value
    )
    return [
        SummaryRow(
            question=question,
            answer=f"No. The costliest minimal set changes the next token of {worst.kl.n} harmless "
            f"prompts by KL {between(worst.kl)} nats. It changes the likeliest first token of "
            f"{share_said(worst.first_tokens_changed)}.",
            control=without,
            part=Part.SIDE_EFFECTS,
        )
    ]


def _limits(_run: Run) -> Sequence[str]:
    return [
        "That no set within the side-effect limits is found does not prove that there is none: a set "
        "beyond them is given up feature by feature."
    ]


SECTION = Section(
    id="side_effects",
    title="Side effects",
    shown=unless_stopped_early,
    values=_values,
    rows=_rows,
    limits=_limits,
)
