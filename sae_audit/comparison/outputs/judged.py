"""One variant with the limits that were held against it."""

from dataclasses import dataclass

from sae_audit.comparison.decided import LimitResult, Outcome
from sae_audit.comparison.types import Comparison


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A comparison, and where the variant's settings are."""

    comparison: Comparison
    config: str
    """Path of the variant's config.yaml, relative to where the command ran if it is below that."""


def is_allowed(result: LimitResult, comparison: Comparison) -> bool:
    """Whether a limit that cannot be told is let pass."""
    return result.outcome is Outcome.CANNOT_TELL and comparison.decision.undecided == "pass"
