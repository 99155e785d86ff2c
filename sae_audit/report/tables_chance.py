"""Minimal sets beside those that the same search finds by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import ChanceControl, Estimate
from sae_audit.pages.wording import interval
from sae_audit.statistics import median


@dataclass(frozen=True, kw_only=True)
class SearchRow:
    """One search over all refused prompts."""

    name: str
    is_own: bool
    flipped: Estimate
    n_flipped: int
    sizes: str
    """Median, with its interval, and range of the sets that flip."""


def search_rows(found: ChanceControl, *, seed: int) -> list[SearchRow]:
    return [
        SearchRow(
            name=name,
            is_own=is_own,
            flipped=flipped,
            n_flipped=len(sizes),
            sizes=size_range(sizes, seed=seed),
        )
        for name, is_own, flipped, sizes in (
            ("candidates", True, found.flipped, found.sizes),
            ("random candidates", False, found.flipped_random, found.sizes_random),
        )
    ]


def size_range(sizes: Sequence[int], *, seed: int) -> str:
    """`3 [2, 3] (1 to 5)`: median, bootstrap 95%, range."""
    if not sizes:
        return "none"
    found = median([float(size) for size in sizes], seed=seed)
    return f"{interval(found, '{:g}'.format)} ({min(sizes)} to {max(sizes)})"
