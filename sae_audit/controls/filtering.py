"""Flips by what greedy filtering keeps over prompts, and by what is added to it (2509.09708)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from sae_audit.controls.comparisons import set_control
from sae_audit.findings import AddedPoint, CurvePoint, Estimate, MinimalSet, SetControl
from sae_audit.margins import answers
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId, FeatureSet, Score

Scores = Mapping[str, Score]
"""Set functions by prompt id."""


def pooled_ranking(
    minimal_sets: Sequence[MinimalSet], order: Sequence[FeatureId]
) -> list[FeatureId]:
    """Every feature of the prompts' filtered sets: the more sets hold it the earlier, then by `order`;
    those outside `order` come last among equals."""
    counts = Counter(feature for one in minimal_sets for feature in one.filtered or ())
    place = {feature: i for i, feature in enumerate(order)}
    return sorted(counts, key=lambda f: (-counts[f], place.get(f, len(place)), f))


def curve_points(
    scores: Scores,
    ranking: Sequence[FeatureId],
    probe: Sequence[FeatureId],
    random: Callable[[FeatureSet], Sequence[FeatureSet]],
) -> tuple[CurvePoint, ...]:
    """Share of prompts flipped by heads of the ranking, of a probe's, and by random sets.

    Sizes double up to the whole ranking. `random` gives matched sets; none if a layer has too few.
    """
    assert ranking, "no filtered set"

    def flipped(name: str, sets: Sequence[FeatureSet]) -> Estimate | None:
        return set_control(name, scores, lambda _: sets).flipped if sets else None

    points: list[CurvePoint] = []
    for size in doubling(len(ranking)):
        head = frozenset(ranking[:size])
        own = flipped("filtered", [head])
        assert own is not None, size
        rival = [frozenset(probe[:size])] if len(probe) >= size else []
        points.append(
            CurvePoint(
                size=size,
                filtered=own,
                linear_probe=flipped("linear_probe", rival),
                random=flipped("random_matched", random(head)),
            )
        )
    return tuple(points)


def doubling(n: int) -> list[int]:
    """1, 2, 4 and so on below `n`, then `n`."""
    return [*(1 << k for k in range(n.bit_length()) if 1 << k < n), n]


def added_points(
    scores: Scores, filtered: FeatureSet, ranking: Sequence[FeatureId], numbers: Sequence[int]
) -> tuple[AddedPoint, ...]:
    """Share of prompts flipped with the head of the ranking added, for each of `numbers`; numbers
    beyond the ranking count as all of it."""
    tried = sorted({min(n, len(ranking)) for n in numbers})
    flips = flips_of(scores, [filtered.union(ranking[:n]) for n in tried]).sum(axis=0)
    return tuple(
        AddedPoint(n_added=n, flipped=share(int(one), len(scores)))
        for n, one in zip(tried, flips, strict=True)
    )


def fewest_that_flip_most(points: Sequence[AddedPoint]) -> int:
    """The smallest number of added features with the largest share flipped."""
    return min(points, key=lambda one: (-one.flipped.value, one.n_added)).n_added


def set_controls(scores: Scores, sets: Mapping[str, Sequence[FeatureSet]]) -> dict[str, SetControl]:
    """Effect of the sets of each origin, over the same prompts; origins without sets are left out."""
    return {
        name: set_control(name, scores, lambda _, own=own: own) for name, own in sets.items() if own
    }


def rank_p_value(scores: Scores, own: FeatureSet, null: Sequence[FeatureSet]) -> float:
    """Rank of the prompts that `own` flips among those that each null set flips, ties against it; the
    smallest value is 1 / (1 + number of null sets)."""
    flips = flips_of(scores, [own, *null]).sum(axis=0)
    return float((1 + (flips[1:] >= flips[0]).sum()) / (1 + len(null)))


def flips_of(scores: Scores, sets: Sequence[FeatureSet]) -> Bool[np.ndarray, "prompt set"]:
    """Which sets flip which prompts."""
    return np.array([answers(score(list(sets))) for score in scores.values()], dtype=bool)
