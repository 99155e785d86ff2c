"""How many minimal sets prompts have, and which features could not be done without."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import Estimate, MinimalSetFamily
from sae_audit.statistics import median, share
from sae_audit.vocabulary import FeatureId


@dataclass(frozen=True, kw_only=True)
class FamilyCounts:
    """The minimal sets found, over all flipped prompts."""

    n_prompts: int
    n_sets: Estimate
    """Median number of sets found; within the budget, which it grows with."""
    most_sets: int
    n_complete: int
    """Prompts whose list is complete, provided that ablating more never restores refusal."""
    n_contradicted: int
    """Prompts where a scored set refuses although a part of it flips."""
    n_smaller: int
    """Prompts where a smaller set was found than the prompt's own."""
    without_core: Estimate
    """Share of prompts on which no feature is in every set found."""


@dataclass(frozen=True, kw_only=True)
class FamilyFeature:
    """One feature of the sets found, and on how many prompts it can be replaced."""

    feature: FeatureId
    n_core: int
    """Prompts on which it is in every set found."""
    n_replaceable: int
    """Prompts on which it is in some, and not in all."""


def family_counts(found: Sequence[MinimalSetFamily], *, seed: int) -> FamilyCounts | None:
    """None where other minimal sets were not looked for, or nothing was flipped."""
    if not found:
        return None
    sizes = [len(one.sets) for one in found]
    return FamilyCounts(
        n_prompts=len(found),
        n_sets=median([float(size) for size in sizes], seed=seed),
        most_sets=max(sizes),
        n_complete=sum(one.complete for one in found),
        n_contradicted=sum(one.contradicted for one in found),
        n_smaller=sum(one.smallest < len(one.sets[0].features) for one in found),
        without_core=share(sum(not one.core for one in found), len(found)),
    )


def family_features(found: Sequence[MinimalSetFamily], limit: int) -> list[FamilyFeature]:
    """Features by the number of prompts whose sets hold them, those of every set first."""
    core = Counter(feature for one in found for feature in one.core)
    replaceable = Counter(feature for one in found for feature in one.replaceable)
    order = sorted(core | replaceable, key=lambda f: (-core[f], -replaceable[f], f))
    return [
        FamilyFeature(feature=f, n_core=core[f], n_replaceable=replaceable[f])
        for f in order[:limit]
    ]


def family_sizes(found: Sequence[MinimalSetFamily]) -> dict[int, int]:
    """Number of prompts by number of minimal sets found, no number left out in between."""
    counts = Counter(len(one.sets) for one in found)
    return {n: counts[n] for n in range(min(counts), max(counts) + 1)} if counts else {}
