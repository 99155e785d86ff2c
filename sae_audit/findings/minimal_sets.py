"""Minimal sets: features none of which can be spared, with the scores that prove it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import computed_field

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature, FeatureKey
from sae_audit.findings.side_effects import SideEffects
from sae_audit.margins import answers
from sae_audit.vocabulary import FeatureId


@dataclass(frozen=True, kw_only=True)
class MinimalSet(Finding):
    """Features whose joint ablation flips one prompt, none of which can be spared."""

    prompt_id: str
    features: tuple[Feature, ...]
    """Sorted; empty if the prompt could not be flipped."""
    search: str
    """Name of the search that found it."""
    clean_score: float
    """Refusal score of the clean run, nats of log-odds; > 0 refuses."""
    candidates_score: float
    """Refusal score (nats) with all candidates ablated."""
    ablated_score: float
    """Refusal score (nats) with `features` ablated; < 0 complies."""
    score_without: Mapping[FeatureKey, float]
    """Score (nats) if this one feature is spared. Every value >= 0: that is 1-minimality."""
    found_by_search: tuple[Feature, ...]
    """Features that the search returned; more than `features` if the certificate spared some."""
    n_candidates: int
    """Number of features that the search may choose from."""
    n_sets_scored: int
    """Number of ablated sets scored by the search, certificate included."""
    reason: str
    """Why the prompt could not be flipped; else empty."""
    side_effects: SideEffects | None = None
    """What ablating the set changes on harmless prompts, within the limits; None if it is empty, or was
    searched without limits."""
    excluded: tuple[Feature, ...] = ()
    """Features of the pool that a set within the limits could not hold, in the order in which the
    search gave them up."""
    largest_given_up: int = 0
    """Number of features of the largest set that the search gave up as beyond the limits; 0 if none."""
    filtered: tuple[Feature, ...] | None = None
    """Features that greedy filtering itself keeps (2509.09708), before elimination makes the minimal set
    of them; they flip too. None for other searches, and if the prompt could not be flipped."""

    @computed_field
    @property
    def candidates(self) -> int:
        """`n_candidates`, by the name that other programs use."""
        return self.n_candidates

    @computed_field
    @property
    def flipped(self) -> bool:
        return bool(self.features)

    @computed_field
    @property
    def certified(self) -> bool:
        """Whether the scores prove it: the set flips, and sparing any one feature undoes that."""
        return self.flipped and _proved(self.features, self.ablated_score, self.score_without)


@dataclass(frozen=True, kw_only=True)
class CertifiedSet(Finding):
    """One of several minimal sets of a prompt."""

    features: tuple[Feature, ...]
    """Sorted."""
    ablated_score: float
    """Refusal score with `features` ablated, nats; < 0 complies."""
    score_without: Mapping[FeatureKey, float]
    """Score (nats) if this one feature is spared. Every value >= 0: that is 1-minimality."""

    @computed_field
    @property
    def certified(self) -> bool:
        """Whether the scores prove it: the set flips, and sparing any one feature undoes that."""
        return _proved(self.features, self.ablated_score, self.score_without)


@dataclass(frozen=True, kw_only=True)
class MinimalSetFamily(Finding):
    """The minimal sets of one flipped prompt: the different ways to flip it."""

    prompt_id: str
    sets: tuple[CertifiedSet, ...]
    """Each certified, in the order found; the first is the prompt's `MinimalSet`."""
    complete: bool
    """Whether the candidates hold no other minimal set, provided that ablating more never restores
    refusal (monotonicity). False if the budget ended before, or scores contradict monotonicity."""
    contradicted: bool
    """Whether some scored set refuses although a part of it flips. False does not prove monotonicity:
    only the scored sets were checked."""
    n_sets_scored: int
    """Number of ablated sets scored to find those after the first, certificates included."""

    @computed_field
    @property
    def core(self) -> tuple[Feature, ...]:
        """Features in every set; another set could only make them fewer. If the list is complete, every
        flip needs them."""
        own = [frozenset(one.features) for one in self.sets]
        return tuple(sorted(frozenset.intersection(*own)))

    @computed_field
    @property
    def replaceable(self) -> tuple[Feature, ...]:
        """Features in some of the sets but not in all."""
        held = {feature for one in self.sets for feature in one.features}
        return tuple(sorted(held.difference(self.core)))

    @property
    def smallest(self) -> int:
        """Number of features in the smallest of the sets."""
        return min(len(one.features) for one in self.sets)


@dataclass(frozen=True, kw_only=True)
class PooledWithoutLimits(Finding):
    """The pooled set of the same prompts without side-effect limits."""

    features: tuple[Feature, ...]
    flipped_built: Estimate
    flipped_held_out: Estimate
    """Shares of the building and of the held-out prompts that ablating the set flips."""
    side_effects: SideEffects


@dataclass(frozen=True, kw_only=True)
class PooledSet(Finding):
    """One set for many prompts, built on some of them and tested on the others.

    Other sets of the same size, on the same held-out prompts, are in `Controls.pooled`.
    """

    features: tuple[Feature, ...]
    built_on: tuple[str, ...]
    held_out: tuple[str, ...]
    flipped_built: Estimate
    flipped_held_out: Estimate
    """Shares of the building and of the held-out prompts that ablating the set flips."""
    share_without: Mapping[FeatureKey, float]
    """Share of the building prompts still flipped if this one feature is spared; every value is below
    `flipped_built.value`: no feature can be spared."""
    n_sets_scored: int
    """Number of ablated sets scored, counted once for each prompt they were scored on."""
    side_effects: SideEffects
    """What ablating the set changes on harmless prompts."""
    excluded: tuple[Feature, ...]
    """Features that a pooled set within the limits could not hold."""
    without_limits: PooledWithoutLimits | None
    """The same search without limits; None if they change nothing."""

    @computed_field
    @property
    def certified(self) -> bool:
        """Whether the shares prove it: some prompt is flipped, fewer without any one feature."""
        return set(self.share_without) == set(self.features) and all(
            without < self.flipped_built.value for without in self.share_without.values()
        )


def _proved(
    features: tuple[FeatureId, ...], ablated_score: float, score_without: Mapping[FeatureId, float]
) -> bool:
    return (
        answers(ablated_score)
        and set(score_without) == set(features)
        and not any(answers(score) for score in score_without.values())
    )
