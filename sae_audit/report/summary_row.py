"""One row of the report's head."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One question an auditor asks."""

    question: str
    answer: str
    control: str
    """What the answer is to be held against."""
