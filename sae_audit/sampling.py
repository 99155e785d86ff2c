"""Random features matched to given ones, for every control that draws some.

Four rules, for four questions:
- `matched_random_sets`: for each feature of a set, one of the 20 nearest in firing rate. Controls of a
  finished set; `matched_random_features` says which stands for which.
- `sets_of_equal_norm`: sets whose ablation removes as long a vector at every layer. The same controls,
  where a set that hardly fires would be none.
- `random_candidates`: a whole pool, without repeats, from windows of 20 in the order of firing rate, so
  that pools nearly as large as a layer have one too. It may hold other candidates. The null of a search.
- `random_stand_ins`: one of the 20 nearest in activation on one prompt. Controls of a cascade, whose
  features have to fire there.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from sae_audit.vocabulary import FeatureId, FeatureSet

_NEIGHBOURS = 20
"""Number of nearest features from which each replacement is drawn."""
_ABOUT = 0.1
"""Difference, as a share of the wanted norm, within which features are drawn at random."""
_ROUNDS = 8
"""Number of draws of a layer's features, each asking for norms corrected by the last one's."""


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
    return [
        frozenset(_one_matched(features, firing_rates, set(excluded), random).values())
        for _ in range(n_sets)
    ]


def matched_random_features(
    features: FeatureSet,
    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]],
    *,
    excluded: Collection[FeatureId],
    n_draws: int,
    seed: int,
) -> list[dict[FeatureId, FeatureId]]:
    """Draws of a random feature in each one's place, by the rule of `matched_random_sets`: none twice
    in one draw.

    Features of a layer that has fewer others left than are asked for are left out.
    """
    random, left_out = np.random.default_rng(seed), {*excluded, *features}
    taken = Counter(feature.layer for feature in left_out)
    wanted = Counter(feature.layer for feature in features)
    matched = frozenset(
        f for f in features if len(firing_rates[f.layer]) - taken[f.layer] >= wanted[f.layer]
    )
    return [_one_matched(matched, firing_rates, left_out, random) for _ in range(n_draws)]


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
) -> dict[FeatureId, FeatureId]:
    drawn: dict[FeatureId, FeatureId] = {}
    for feature in sorted(features):
        rates = firing_rates[feature.layer]
        # Ties in rate are common (many features fire on every prompt, or on none) and broken at random.
        distance = np.abs(rates - rates[feature.index])
        nearest = np.lexsort((random.random(len(rates)), distance))
        taken = excluded | set(drawn.values())
        free = (
            other
            for index in nearest
            if (other := FeatureId(feature.layer, int(index))) not in taken
        )
        neighbours = [other for other, _ in zip(free, range(_NEIGHBOURS), strict=False)]
        assert neighbours, f"no feature of layer {feature.layer} is left to draw from"
        drawn[feature] = neighbours[int(random.integers(len(neighbours)))]
    return drawn


def sets_of_equal_norm(
    features: FeatureSet,
    alone: Mapping[int, Float[np.ndarray, " d_sae"]],
    removed: Callable[[FeatureSet], float],
    *,
    excluded: Collection[FeatureId],
    n_sets: int,
    seed: int,
) -> list[FeatureSet]:
    """Random sets of the same layers whose ablation removes about as long a vector in each.

    `alone` is the norm that ablating each feature alone removes, by layer, `removed` that of some
    features of one layer together. Each feature is replaced by a random one of about its own norm, or
    by the nearest if there is none: the largest, if all remove less. Several features often point one
    way, so that their sum is longer than that of as many random ones; larger norms are then asked for,
    by what the last draw lacked, and the nearest of these draws is kept. Whether the sets match is for
    `removed` to say. None holds a feature twice, or an `excluded` one; there must be as many others.
    """
    random = np.random.default_rng(seed)
    layers = sorted({feature.layer for feature in features})
    return [
        frozenset().union(
            *(
                _layer_of_equal_norm(
                    [f for f in sorted(features) if f.layer == layer],
                    alone[layer],
                    removed,
                    set(excluded),
                    random,
                )
                for layer in layers
            )
        )
        for _ in range(n_sets)
    ]


def _layer_of_equal_norm(
    own: Sequence[FeatureId],
    alone: Float[np.ndarray, " d_sae"],
    removed: Callable[[FeatureSet], float],
    excluded: set[FeatureId],
    random: np.random.Generator,
) -> FeatureSet:
    taken = [f.index for f in {*excluded, *own} if f.layer == own[0].layer]
    free = np.setdiff1d(np.arange(len(alone)), taken)
    assert len(free) >= len(own), f"no features of layer {own[0].layer} are left to draw from"
    target = removed(frozenset(own))
    wanted = np.sort([alone[f.index] for f in own])[::-1]
    best, smallest = frozenset[FeatureId](), np.inf
    factor = 1.0
    for _ in range(_ROUNDS):
        drawn = _of_norms(factor * wanted, alone, free, random)
        found = frozenset(FeatureId(own[0].layer, int(index)) for index in drawn)
        reached = removed(found)
        if abs(reached - target) < smallest:
            best, smallest = found, abs(reached - target)
        if not reached or abs(reached - target) <= 0.02 * target:
            break
        factor *= target / reached
    return best


def _of_norms(
    wanted: Float[np.ndarray, " own"],
    alone: Float[np.ndarray, " d_sae"],
    free: Int[np.ndarray, " free"],
    random: np.random.Generator,
) -> list[int]:
    """For each wanted norm, the largest first, a feature of about that norm, none twice."""
    drawn: list[int] = []
    for norm in wanted:
        left = free[~np.isin(free, drawn)]
        apart = np.abs(alone[left] - norm)
        # Shuffled before a stable sort: many features remove nothing.
        order = random.permutation(len(left))
        order = order[np.argsort(apart[order], kind="stable")][:_NEIGHBOURS]
        near = [i for i in order if apart[i] <= _ABOUT * norm] or [order[0]]
        drawn.append(int(left[near[int(random.integers(len(near)))]]))
    return drawn


def random_candidates(
    candidates: Sequence[FeatureId],
    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]],
    eligible: Mapping[int, Bool[np.ndarray, " d_sae"]],
    *,
    seed: Sequence[int],
) -> list[FeatureId]:
    """One more pool of the candidates' kind: as many features of those that may be candidates, matched
    in layers and firing rates, in random order.

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
        chosen = _same_rates(own, rates, random, among=np.flatnonzero(eligible[layer]))
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
