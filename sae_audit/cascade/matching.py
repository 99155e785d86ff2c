"""Stand-ins for features of a cascade: same layer, firing about as strongly on the same prompt."""

from collections.abc import Collection, Mapping

import numpy as np

from sae_audit.vocabulary import FeatureId, FeatureSet

_NEIGHBOURS = 20
"""As many as `controls.random_sets` draws from."""


def nearest(
    feature: FeatureId,
    firing: Mapping[FeatureId, float],
    *,
    excluded: Collection[FeatureId],
    n: int,
) -> list[FeatureId]:
    """The `n` features of its layer, or those there are, nearest in largest activation.

    `firing` gives the largest activation of every firing feature; one that is not in it has 0.
    """
    own = firing.get(feature, 0.0)
    others = [f for f in firing if f.layer == feature.layer and f != feature and f not in excluded]
    return sorted(others, key=lambda f: (abs(firing[f] - own), f))[:n]


def random_stand_ins(
    features: FeatureSet,
    firing: Mapping[FeatureId, float],
    *,
    excluded: Collection[FeatureId],
    n_sets: int,
    seed: int,
) -> list[FeatureSet]:
    """Random sets: each feature replaced by one of the 20 nearest, none twice, none `excluded`.

    A feature without any such neighbour has no stand-in: its layer fires nothing else.
    """
    random = np.random.default_rng(seed)
    # Enough that twenty are left when all others have drawn from the same ones.
    n = _NEIGHBOURS + len(features)
    neighbours = {f: nearest(f, firing, excluded=excluded, n=n) for f in sorted(features)}
    sets: list[FeatureSet] = []
    for _ in range(n_sets):
        drawn: set[FeatureId] = set()
        for others in neighbours.values():
            free = [other for other in others if other not in drawn][:_NEIGHBOURS]
            if free:
                drawn.add(free[int(random.integers(len(free)))])
        sets.append(frozenset(drawn))
    return sets
