"""Minimal sets beside those that the same search finds by chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sae_audit.findings import ChanceControl, Estimate


@dataclass(frozen=True, kw_only=True)
class SearchRow:
    """One search over all refused prompts."""

    name: str
    is_own: bool
    flipped: Estimate
    n_flipped: int
    sizes: str
    """Median and range of the sets that flip."""


def search_rows(found: ChanceControl) -> list[SearchRow]:
    return [
        SearchRow(
            name=name,
            is_own=is_own,
            flipped=flipped,
            n_flipped=len(sizes),
            sizes=size_range(sizes),
        )
        for name, is_own, flipped, sizes in (
            ("candidates", True, found.flipped, found.sizes),
            ("random candidates", False, found.flipped_random, found.sizes_random),
        )
    ]


def size_range(sizes: Sequence[int]) -> str:
    return f"{median(sizes):g} ({min(sizes)} to {max(sizes)})" if sizes else "none"
