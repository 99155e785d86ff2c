"""Counts over the minimal sets of many prompts, and the results of other searches."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import (
    Confirmation,
    Estimate,
    MinimalSet,
    MinimalSetFamily,
    ScaleControl,
    SearchNull,
)
from sae_audit.margins import answers
from sae_audit.pages.wording import NO_VALUE, interval, percent, ranged
from sae_audit.statistics import median, random_range, share
from sae_audit.vocabulary import FeatureId

_SCALED = {
    "minimal_set": "flipped prompts, own minimal set",
    "candidates": "prompts not flipped, all candidates overshot",
}
_ANSWERS = {
    "clean": "refused prompts, unablated",
    "ablated": "the same, own minimal set ablated",
    "random": "the same, as many random features ablated",
    "pooled": "refused prompts kept apart, pooled set ablated",
    "harmless": "harmless prompts, unablated",
}


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """One feature and the number of minimal sets that hold it."""

    feature: FeatureId
    n_prompts: int


def feature_rows(found: Sequence[MinimalSet], limit: int) -> list[FeatureRow]:
    """The features in most minimal sets, most frequent first."""
    counts = Counter(feature for one in found for feature in one.features)
    order = sorted(counts, key=lambda feature: (-counts[feature], feature))
    return [FeatureRow(feature=f, n_prompts=counts[f]) for f in order[:limit]]


def sizes(found: Sequence[MinimalSet]) -> dict[int, int]:
    """Number of flipped prompts by size of their minimal set, without gaps."""
    counts = Counter(len(one.features) for one in found if one.flipped)
    return {size: counts[size] for size in range(min(counts), max(counts) + 1)} if counts else {}


def layers(found: Sequence[MinimalSet], audited: Sequence[int]) -> dict[int, int]:
    """Members of all minimal sets by layer, every audited layer included."""
    counts = Counter(feature.layer for one in found for feature in one.features)
    return {layer: counts[layer] for layer in audited}


@dataclass(frozen=True, kw_only=True)
class PoolRow:
    """Pools of one origin, ablated whole on every refused prompt, in words."""

    name: str
    is_own: bool
    flipped: str
    n_pools: int


def pool_rows(found: SearchNull) -> list[PoolRow]:
    own, n = found.flipped_by_candidates, found.flipped.n
    shares = random_range([flipped / n for flipped in found.n_flipped_by_pools])
    return [
        PoolRow(name="candidates", is_own=True, flipped=interval(own, percent), n_pools=1),
        PoolRow(
            name="random pools, mean (range)",
            is_own=False,
            flipped=ranged(shares, percent),
            n_pools=found.n_pools,
        ),
    ]


def size_range(sizes: Sequence[int]) -> str:
    """`3 [2, 3] (1 to 5)`: median, its 95% interval, range."""
    if not sizes:
        return "none"
    found = median([float(size) for size in sizes])
    return f"{interval(found, '{:g}'.format)} ({min(sizes)} to {max(sizes)})"


@dataclass(frozen=True, kw_only=True)
class FamilyCounts:
    """Counts of the minimal sets found, over all flipped prompts."""

    n_prompts: int
    n_sets: Estimate
    """Median number of sets found within the budget, which it grows with."""
    most_sets: int
    n_complete: int
    """Prompts with a complete list, provided that ablating more never restores refusal."""
    n_contradicted: int
    """Prompts on which a scored set refuses although a subset of it flips."""
    n_smaller: int
    """Prompts with a smaller set than the prompt's own."""
    without_core: Estimate
    """Share of prompts whose found sets share no feature."""

    @property
    def proviso(self) -> str:
        """Whether scores contradict the assumption behind completeness, in words."""
        if not self.n_contradicted:
            return "no scored set contradicts that"
        return (
            f"on {self.n_contradicted} prompts a scored set refuses although a part of it flips, so "
            "there the proviso does not hold"
        )


@dataclass(frozen=True, kw_only=True)
class ScaleRow:
    """Ablation scales of one kind of set over its prompts, in words."""

    label: str
    flipped: str
    mean: str
    median: str
    n: int
    random: str


def scale_rows(found: Sequence[ScaleControl]) -> list[ScaleRow]:
    return [
        ScaleRow(
            label=_SCALED[one.ablated],
            flipped="100%, by construction"
            if one.ablated == "minimal_set"
            else interval(one.flipped, percent),
            mean=interval(one.mean) if one.mean else NO_VALUE,
            median=interval(one.median) if one.median else NO_VALUE,
            n=one.flipped.n,
            random=interval(one.random_flipped, percent) if one.random_flipped else NO_VALUE,
        )
        for one in found
    ]


@dataclass(frozen=True, kw_only=True)
class FamilyFeature:
    """One feature of the sets found, with the number of prompts on which it can be replaced."""

    feature: FeatureId
    n_core: int
    """Prompts on which it is in every set found."""
    n_replaceable: int
    """Prompts on which it is in some of the sets found."""


def family_counts(found: Sequence[MinimalSetFamily]) -> FamilyCounts | None:
    """Counts; None if other minimal sets were not searched or nothing was flipped."""
    if not found:
        return None
    sizes = [len(one.sets) for one in found]
    return FamilyCounts(
        n_prompts=len(found),
        n_sets=median([float(size) for size in sizes]),
        most_sets=max(sizes),
        n_complete=sum(one.complete for one in found),
        n_contradicted=sum(one.contradicted for one in found),
        n_smaller=sum(one.smallest < len(one.sets[0].features) for one in found),
        without_core=share(sum(not one.core for one in found), len(found)),
    )


def family_features(found: Sequence[MinimalSetFamily], limit: int) -> list[FamilyFeature]:
    """Features by number of prompts whose sets hold them, those in every set first."""
    core = Counter(feature for one in found for feature in one.core)
    replaceable = Counter(feature for one in found for feature in one.replaceable)
    order = sorted(core | replaceable, key=lambda f: (-core[f], -replaceable[f], f))
    return [
        FamilyFeature(feature=f, n_core=core[f], n_replaceable=replaceable[f])
        for f in order[:limit]
    ]


def family_sizes(found: Sequence[MinimalSetFamily]) -> dict[int, int]:
    """Number of prompts by number of minimal sets found, without gaps."""
    counts = Counter(len(one.sets) for one in found)
    return {n: counts[n] for n in range(min(counts), max(counts) + 1)} if counts else {}


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    label: str
    n: int
    by_score: Estimate
    """Share of answers that the score calls compliance."""
    by_judge: Estimate
    agreement: Estimate


def answer_rows(found: Confirmation) -> list[AnswerRow]:
    """One row per case that has answers."""
    rows: list[AnswerRow] = []
    for case, label in _ANSWERS.items():
        checks = [check for check in found.checks if check.case == case]
        if checks:
            n = len(checks)
            rows.append(
                AnswerRow(
                    label=label,
                    n=n,
                    by_score=share(sum(answers(check.score) for check in checks), n),
                    by_judge=share(sum(check.complied for check in checks), n),
                    agreement=share(sum(check.agrees for check in checks), n),
                )
            )
    return rows
