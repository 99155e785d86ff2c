"""Minimal sets by binary splitting: m features of n in O(m log n) questions.

The features are ordered, the likeliest first. If ablating more never restores refusal, the last feature
of the shortest flipping head is needed by every set taken from the head. It is kept, and the search goes
on in the head before it, until the kept features flip alone. Heads are found by asking for lengths 1, 2,
4, ... and then for lengths in between, a round at a time.
"""

from collections.abc import Sequence

import numpy as np

from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking
from sae_audit.vocabulary import FeatureId, FeatureSet


def split(order: Sequence[FeatureId], *, patience: int) -> Asking[FeatureSet]:
    """A set that flips, from features that all together flip.

    `patience` bounds a round. If effects are not monotone the set still flips, but may hold features
    that can be removed.
    """
    kept: FeatureSet = frozenset()
    rest = list(order)
    while True:
        length = yield from _shortest_flipping_head(kept, rest, patience)
        if length == 0:
            return kept
        kept |= {rest[length - 1]}
        rest = rest[: length - 1]


def _shortest_flipping_head(
    kept: FeatureSet, order: Sequence[FeatureId], patience: int
) -> Asking[int]:
    """Length of the shortest head of `order` that flips together with `kept`; the whole must flip."""
    too_short, flips = -1, len(order)
    lengths = _doubling(len(order)) if len(order) > patience else list(range(len(order)))
    while lengths:
        scores = yield [kept | frozenset(order[:length]) for length in lengths]
        flipped = [
            length for length, score in zip(lengths, scores, strict=True) if answers(float(score))
        ]
        flips = min([*flipped, flips])
        too_short = max([length for length in lengths if length < flips], default=too_short)
        lengths = _between(too_short, flips, patience)
    return flips


def _doubling(n: int) -> list[int]:
    return [0, *(1 << i for i in range(n.bit_length()) if 1 << i < n)]


def _between(low: int, high: int, patience: int) -> list[int]:
    """Up to `patience` lengths spread evenly between the two, both excluded."""
    spread = np.unique(np.linspace(low, high, patience + 2).round().astype(int))
    return [int(length) for length in spread if low < length < high]
