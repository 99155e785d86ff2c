"""Minimal sets by delta debugging (Zeller and Hildebrandt 2002, algorithm ddmin).

Cut the set into n parts. If a part alone still flips, go on with it; if the set without one part does,
go on with that; else cut finer, down to single features. Both kinds of question of a round are asked
together. Needs no order and no monotone effects; at worst quadratic.
"""

from collections.abc import Sequence
from itertools import pairwise

from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking
from sae_audit.vocabulary import FeatureId, FeatureSet


def delta_debug(order: Sequence[FeatureId]) -> Asking[FeatureSet]:
    """A set that flips and stops flipping if any single feature is kept."""
    left, n_parts = list(order), 2
    while len(left) > 1:
        parts = _parts(left, min(n_parts, len(left)))
        whole = frozenset(left)
        complements = [whole - frozenset(part) for part in parts] if len(parts) > 2 else []
        scores = yield [*map(frozenset, parts), *complements]
        flips = [answers(float(score)) for score in scores]
        if any(flips[: len(parts)]):
            left, n_parts = parts[flips.index(True)], 2
        elif any(flips):
            gone = set(parts[flips.index(True) - len(parts)])
            left = [feature for feature in left if feature not in gone]
            n_parts = max(len(parts) - 1, 2)
        elif len(parts) == len(left):
            break
        else:
            n_parts = 2 * len(parts)
    return frozenset(left)


def _parts(features: Sequence[FeatureId], n: int) -> list[list[FeatureId]]:
    bounds = [round(i * len(features) / n) for i in range(n + 1)]
    return [list(features[a:b]) for a, b in pairwise(bounds)]
