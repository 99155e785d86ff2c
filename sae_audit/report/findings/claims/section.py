"""What the audit claims and what it does not, with the numbers that decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sae_audit.findings import Claim, ClaimAbout
from sae_audit.record.run import Run
from sae_audit.report.power import (
    COMMAND,
    MEASURED,
    N_MODELS,
    N_PROMPTS,
    SOURCE,
    measured_with,
)
from sae_audit.report.section import Section, SummaryRow
from sae_audit.report.verdict.standing import seen_if_true

CLAIMS = {
    ClaimAbout.REFUSAL: "The model refuses",
    ClaimAbout.HARM: "What it refuses is harm",
    ClaimAbout.DIRECTION: "One direction carries refusal",
    ClaimAbout.DIRECTIONS_BEHIND: "There are directions behind it",
    ClaimAbout.FEATURES: "Features of these SAEs carry it",
    ClaimAbout.POOLED_SET: "One set of features holds for other prompts",
    ClaimAbout.PAIRS: "Pairs of features interact",
    ClaimAbout.BACKUPS: "Backup features restore refusal",
}
"""Each claim as a sentence."""


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One claim, in words."""

    sentence: str
    found: Claim
    missed: str
    """What as many prompts would have missed; empty if it stands or that was not measured."""

    @property
    def p(self) -> str:
        return "" if self.found.p is None else f"{self.found.p:.2g}"


@dataclass(frozen=True, kw_only=True)
class PowerRow:
    """How often a claim stood on models of which it is true, in words."""

    claim: str
    planted: str
    found: tuple[str, ...]
    """By the number of prompts."""


def _claim_rows(run: Run) -> list[ClaimRow]:
    return [
        ClaimRow(sentence=CLAIMS[one.about], found=one, missed=seen_if_true(run, one.about))
        for one in run.claims
    ]


def _values(run: Run) -> Mapping[str, Any]:
    n = run.findings.prompts.harmful
    return {
        "claims": _claim_rows(run),
        "power": [
            PowerRow(
                claim=CLAIMS[one.claim],
                planted=one.planted,
                found=tuple(f"{one.found[n]} of {N_MODELS}" for n in N_PROMPTS),
            )
            for one in MEASURED
        ],
        "n_prompts": N_PROMPTS,
        "measured_with": measured_with(n),
        "power_source": SOURCE,
        "power_command": COMMAND,
    }


def _limits(run: Run) -> Sequence[str]:
    """What each claim that fell would have needed to be seen."""
    fallen = [(CLAIMS[one.about], seen_if_true(run, one.about)) for one in run.claims]
    return [
        f"Not shown: {claim[0].lower()}{claim[1:]}. {missed}" for claim, missed in fallen if missed
    ]


def _rows(run: Run) -> Sequence[SummaryRow]:
    if run.absence is not None:
        return []  # The first row says what is not claimed, and why.

    def named(stands: bool) -> str:
        own = [CLAIMS[one.about] for one in run.claims if one.stands is stands]
        return (
            "; ".join([own[0], *(one[0].lower() + one[1:] for one in own[1:])]) if own else "none"
        )

    return [
        SummaryRow(
            question="Which claims stand?",
            answer=f"Stand: {named(True)}.",
            control=f"Do not stand: {named(False)}.",
        )
    ]


SECTION = Section(id="claims", title="What stands", values=_values, rows=_rows, limits=_limits)
