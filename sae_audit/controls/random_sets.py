"""Random sets matched to a given one: as many features in each layer, firing as often."""

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Float

from sae_audit.vocabulary import FeatureId, FeatureSet

_NEIGHBOURS = 20


def matched_random_sets(
    features: FeatureSet,
    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]],
    *,
    excluded: Collection[FeatureId],
    n_sets: int,
    seed: int,
) -> list[FeatureSet]:
    """Random stand-ins for `features`.

    Each feature is replaced by one of the 20 features of its layer nearest in firing rate (share of
    harmful prompts it fires on), drawn at random, without repeats and never from `excluded`.
    """
    random = np.random.default_rng(seed)
    return [_one(features, firing_rates, set(excluded), random) for _ in range(n_sets)]


def enough_left(
    features: FeatureSet, firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]]
) -> bool:
    """Whether each layer has as many other features as `features` has there."""
    wanted = Counter(feature.layer for feature in features)
    return all(2 * n <= len(firing_rates[layer]) for layer, n in wanted.items())


def _one(
    features: FeatureSet,
    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]],
    excluded: set[FeatureId],
    random: np.random.Generator,
) -> FeatureSet:
    drawn: set[FeatureId] = set()
    for feature in sorted(features):
        rates = firing_rates[feature.layer]
        # Ties in rate are common (many features fire on every prompt, or on none): broken at random.
        distance = np.abs(rates - rates[feature.index])
        nearest = np.lexsort((random.random(len(rates)), distance))
        free = (
            other
            for index in nearest
            if (other := FeatureId(feature.layer, int(index))) not in excluded | drawn
        )
        neighbours = [other for other, _ in zip(free, range(_NEIGHBOURS), strict=False)]
        assert neighbours, f"no feature of layer {feature.layer} is left to draw from"
        drawn.add(neighbours[int(random.integers(len(neighbours)))])
    return frozenset(drawn)
