"""One row of the report's head, and how its rows write a count."""

from dataclasses import dataclass

from sae_audit.pages.wording import interval, of, percent
from sae_audit.statistics import share


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One question an auditor asks."""

    question: str
    answer: str
    control: str
    """What the answer is to be held against."""


def share_of(n: int, total: int) -> str:
    """`39 of 40 (98% [87%, 100%])`, or the bare count where there is no case."""
    return f"{of(n, total)} ({interval(share(n, total), percent)})" if total else of(n, total)
