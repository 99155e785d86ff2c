"""Shares and counts as the first screen says them."""

from sae_audit.findings import Estimate
from sae_audit.statistics import share

_MOST_PROMPTS = 20_000
"""Largest number of prompts that is named as enough."""
_COUNTED_BELOW = 100


def number(found: Estimate) -> str:
    """`39 of 40`, or a percentage of 100 cases and more."""
    if found.n < _COUNTED_BELOW:
        return f"{round(found.value * found.n)} of {found.n}"
    return f"{round(100 * found.value)}%"


def prompts_deciding(value: float, limit: float) -> int | None:
    """The number of prompts whose interval, around the same share, would leave out the limit; None if
    no reasonable number does."""
    n = 10
    while n <= _MOST_PROMPTS:
        found = share(round(value * n), n)
        if not found.low < limit < found.high:
            return n
        n = n + 1 if n < 200 else round(n * 1.05)
    return None


def several(n: int, what: str) -> str:
    """`1 feature`, `2 features`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def sentence(text: str) -> str:
    """The text beginning with a capital letter."""
    return f"{text[:1].upper()}{text[1:]}"
