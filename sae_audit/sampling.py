"""Random features matched to given ones, for every control that draws some.

Three rules, for three questions:
- `matched_random_sets`: for each feature of a set, one of the 20 nearest in firing rate. Controls of a
  finished set.
- `random_candidates`: a whole pool, without repeats, from windows of 20 in the order of firing rate, so
  that pools nearly as large as a layer have one too. It may hold other candidates. The null of a search.
- `random_stand_ins`: one of the 20 nearest in activation on one prompt. Controls of a cascade, whose
  features have to fire there.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from sae_audit.vocabulary import FeatureId, FeatureSet

_NEIGHBOURS = 20
"""Number of nearest features from which each replacement is drawn."""


def matched_random_sets(
    features: FeatureSet,
    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]],
    *,
    excluded: Collection[FeatureId],
    n_sets: int,
    seed: int,
) -> list[FeatureSet]:
    """Random sets that match `features` in layers and firing rates.

    Each feature is replaced by a random one of the 20 features of its layer nearest in firing rate
    (share of harmful prompts it fires on), without repeats and never from `excluded`.
    """
    random = np.random.default_rng(seed)
    return [_one_matched(features, firing_rates, set(excluded), random) for _ in range(n_sets)]


def enough_left(
    features: FeatureSet, firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]]
) -> bool:
    """Whether each layer has at least as many other features as `features` has there."""
    wanted = Counter(feature.layer for feature in features)
    return all(2 * n <= len(firing_rates[layer]) for layer, n in wanted.items())


def _one_matched(
    features: FeatureSet,
    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]],
    excluded: set[FeatureId],
    random: np.random.Generator,
) -> FeatureSet:
    drawn: set[FeatureId] = set()
    for feature in sorted(features):
        rates = firing_rates[feature.layer]
        # Ties in rate are common (many features fire on every prompt, or on none) and broken at random.
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


def random_candidates(
    candidates: Sequence[FeatureId],
    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]],
    *,
    seed: Sequence[int],
) -> list[FeatureId]:
    """One more pool of the candidates' kind: as many features, matched in layers and firing rates, in
    random order.

    Each candidate is replaced by another one of the 20 features nearest in firing rate, other candidates
    among them. A feature is thus as likely to be in the pool whether it is a candidate or not, as under
    the null that candidates are picked by layer and rate alone; if no candidate could be drawn, a lucky
    one could not be matched, and a p-value by rank would be too small.
    """
    random = np.random.default_rng(list(seed))
    drawn: list[FeatureId] = []
    for layer in sorted({feature.layer for feature in candidates}):
        own = np.array([f.index for f in candidates if f.layer == layer])
        rates = firing_rates[layer]
        chosen = _same_rates(own, rates, random, among=np.arange(len(rates)))
        drawn += [FeatureId(layer, int(index)) for index in chosen]
    return [drawn[i] for i in random.permutation(len(drawn))]


def _same_rates(
    own: Int[np.ndarray, " candidate"],
    rates: Float[np.ndarray, " d_sae"],
    random: np.random.Generator,
    *,
    among: Int[np.ndarray, " feature"],
) -> list[int]:
    # Shuffled before a stable sort: many features fire equally often.
    left = random.permutation(among)
    left = left[np.argsort(rates[left], kind="stable")]
    chosen: list[int] = []
    for index in random.permutation(own):
        # Its own place is open only to the last feature of a layer that is drawn whole.
        free = left[left != index] if len(left) > 1 else left
        first, last = (
            np.searchsorted(rates[free], rates[index], side) for side in ("left", "right")
        )
        start = int(random.integers(first, last + 1)) - _NEIGHBOURS // 2
        start = max(0, min(start, len(free) - _NEIGHBOURS))
        place = int(random.integers(start, min(start + _NEIGHBOURS, len(free))))
        chosen.append(int(free[place]))
        left = left[left != free[place]]
    return chosen


def nearest(
    feature: FeatureId,
    firing: Mapping[FeatureId, float],
    *,
    excluded: Collection[FeatureId],
    n: int,
) -> list[FeatureId]:
    """The `n` features of its layer (or all, if fewer) nearest in largest activation.

    `firing` gives the largest activation of every firing feature; all others have 0.
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

    A feature is left out if no other fires in its layer.
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
