"""What the audit claims and what it does not, with the numbers that decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sae_audit.findings import Claim, ClaimAbout
from sae_audit.record.run import Run
from sae_audit.report.section import Section, SummaryRow

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

    @property
    def p(self) -> str:
        return "" if self.found.p is None else f"{self.found.p:.2g}"


def _claim_rows(run: Run) -> list[ClaimRow]:
    return [ClaimRow(sentence=CLAIMS[one.about], found=one) for one in run.claims]


def _values(run: Run) -> Mapping[str, Any]:
    return {"claims": _claim_rows(run)}


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


SECTION = Section(id="claims", title="What stands", values=_values, rows=_rows)
