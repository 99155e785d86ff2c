"""One set for many prompts, built on some and tried on others.

1. Rank features by the number of building prompts whose minimal sets hold them.
2. Take the shortest head of the ranking that flips as many building prompts as the whole.
3. Eliminate backward every feature without which as many stay flipped; certify, and eliminate again if a
   feature turns out removable because effects are not monotone.
4. If the set is beyond the side-effect limits, give up the feature that costs most, and repeat; if what
   is left flips nothing, take the prompts' own set that flips most.
5. Try the set on held-out prompts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.findings import Estimate, MinimalSet
from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking, Scores, answered
from sae_audit.minimal.elimination import eliminate
from sae_audit.minimal.limited import Limits
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId, FeatureSet, Score


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """A set that many prompts share."""

    features: FeatureSet
    excluded: tuple[FeatureId, ...]
    """Features given up, since sets that hold them are beyond the limits."""
    flipped_built: Estimate
    flipped_held_out: Estimate
    share_without: Mapping[FeatureId, float]
    """Share of the building prompts still flipped if this one feature is spared."""
    n_sets_scored: int


def pooled_set(
    scores: Mapping[str, Score],
    minimal_sets: Sequence[MinimalSet],
    *,
    built_on: Sequence[str],
    held_out: Sequence[str],
    patience: int,
    limits: Limits | None,
) -> Pooled:
    """The pooled minimal set of the prompts `built_on`, with its share of `held_out` prompts flipped.

    `scores` holds each prompt's set function by prompt id. At least one prompt of `built_on` must have
    been flipped, by a set within the `limits`.
    """
    assert held_out, "no prompts kept apart"
    building = [scores[prompt_id] for prompt_id in built_on]
    ranking = _ranking(minimal_sets, set(built_on))
    assert ranking, "no building prompt was flipped"
    n_scored = 0

    def n_flipped(sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        nonlocal n_scored
        n_scored += len(building) * len(sets)
        return np.sum([answers(score(sets)) for score in building], axis=0).astype(float)

    found, excluded = _within(ranking, n_flipped, patience=patience, limits=limits)
    if found is None:
        own = [frozenset(m.features) for m in minimal_sets if m.flipped and m.prompt_id in built_on]
        found = _best_own(own, n_flipped, patience=patience, limits=limits)
    flipped_built, *without = (int(n) for n in found.n_flipped)
    n_held_out = sum(
        answers(float(scores[prompt_id]([found.features])[0])) for prompt_id in held_out
    )
    return Pooled(
        features=found.features,
        excluded=excluded,
        flipped_built=share(flipped_built, len(building)),
        flipped_held_out=share(n_held_out, len(held_out)),
        share_without={
            feature: n / len(building)
            for feature, n in zip(sorted(found.features), without, strict=True)
        },
        n_sets_scored=n_scored + len(held_out),
    )


def _within(
    ranking: Sequence[FeatureId], n_flipped: Score, *, patience: int, limits: Limits | None
) -> tuple["_Certified | None", tuple[FeatureId, ...]]:
    """The pooled set of a ranking within the limits, and the features given up; no set if the features
    that are left flip no building prompt. `n_flipped` counts the building prompts that sets flip."""
    excluded: tuple[FeatureId, ...] = ()
    while ranking:
        flipped = n_flipped([frozenset(ranking[:n]) for n in range(1, len(ranking) + 1)])
        target = float(flipped[-1])
        if target == 0.0:
            break
        head = ranking[: int(np.argmax(flipped >= target)) + 1]
        found, _ = answered(_certified(head, target, patience=patience), n_flipped)
        if limits is None or limits.hold(found.features):
            return found, excluded
        excluded += limits.costliest(found.features)
        ranking = [feature for feature in ranking if feature not in excluded]
    return None, excluded


def _best_own(
    own: Sequence[FeatureSet], n_flipped: Score, *, patience: int, limits: Limits | None
) -> "_Certified":
    """The building prompts' own minimal set, each within the limits, that flips most of them, without
    what can be spared: of several prompts that may be more than of its own."""
    counts = n_flipped(own)
    best = min(range(len(own)), key=lambda i: (-counts[i], len(own[i]), sorted(own[i])))
    features, target = own[best], float(counts[best])
    found, _ = answered(_certified(sorted(features), target, patience=patience), n_flipped)
    if limits is None or limits.hold(found.features):
        return found
    without = n_flipped([features - {feature} for feature in sorted(features)])
    return _Certified(features=features, n_flipped=np.array([target, *without]))


@dataclass(frozen=True, kw_only=True)
class _Certified:
    features: FeatureSet
    n_flipped: Scores
    """Building prompts flipped by the set, then by the set without each feature in order."""


def _certified(head: Sequence[FeatureId], target: float, *, patience: int) -> Asking[_Certified]:
    """The subset of `head` that keeps `target` building prompts flipped, with proof of minimality."""
    features = frozenset(head)
    order = head[::-1]
    while True:
        features = yield from eliminate(
            [feature for feature in order if feature in features],
            lambda _, after: after >= target,
            patience=patience,
        )
        counts = yield [features, *(features - {feature} for feature in sorted(features))]
        if all(counts[1:] < target):
            return _Certified(features=features, n_flipped=counts)


def _ranking(minimal_sets: Sequence[MinimalSet], built_on: set[str]) -> list[FeatureId]:
    counts = Counter(
        feature
        for found in minimal_sets
        if found.prompt_id in built_on
        for feature in found.features
    )
    return sorted(counts, key=lambda feature: (-counts[feature], feature))
