"""What an audit claims, and on what evidence."""

from dataclasses import dataclass
from enum import StrEnum

from sae_audit.findings.example import Finding


class ClaimAbout(StrEnum):
    """The subjects of claims, from the weakest to the most specific."""

    REFUSAL = "refusal"
    """The model refuses."""
    HARM = "harm"
    """What it refuses is harm: its scores separate harmful from harmless prompts."""
    DIRECTION = "direction"
    """One direction carries refusal: projecting it out removes refusal, and random ones do not."""
    DIRECTIONS_BEHIND = "directions_behind"
    """There are further directions behind the first."""
    FEATURES = "features"
    """Features of these SAEs carry it, not any dictionary's: null dictionaries do worse."""
    POOLED_SET = "pooled_set"
    """One set of features flips prompts that it was not built on, better than its rivals."""
    PAIRS = "pairs"
    """Pairs of features interact beyond what single effects predict."""
    BACKUPS = "backups"
    """Dormant features activate when others are ablated, and restore refusal."""


@dataclass(frozen=True, kw_only=True)
class Claim(Finding):
    """One claim of the audit, with whether it stands."""

    about: ClaimAbout
    stands: bool
    reason: str
    """The numbers that decide, in one sentence; if the audit did not measure it, what to set."""
    p: float | None
    """p-value of the test that decides; None if an interval decides, or nothing was tested."""
    n: int
    """Number of prompts, graphs or cascades behind it."""
    beside: str
    """The control that the number stands beside, in words; empty if nothing was measured."""
