"""Sets of features none of which can be spared, with the scores that prove it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import computed_field

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature, FeatureKey
from sae_audit.margins import answers
from sae_audit.vocabulary import FeatureId


@dataclass(frozen=True, kw_only=True)
class MinimalSet(Finding):
    """Features whose joint ablation flips one prompt, none of which can be spared."""

    prompt_id: str
    features: tuple[Feature, ...]
    """Sorted. Empty where the prompt could not be flipped."""
    search: str
    """The search that found it."""
    clean_score: float
    """Refusal score, nats of log-odds; > 0 refuses."""
    candidates_score: float
    """Score with all candidates ablated: the furthest this pool reaches."""
    ablated_score: float
    """Score with `features` ablated; < 0 complies."""
    score_without: Mapping[FeatureKey, float]
    """Score when this one feature is spared. Every value >= 0: that is 1-minimality."""
    found_by_search: tuple[Feature, ...]
    """What the search returned; larger than `features` where the certificate showed that some of
    it could be spared."""
    n_candidates: int
    n_sets_scored: int
    """Ablated sets evaluated by the search, certificate included."""
    reason: str
    """Why the prompt could not be flipped; empty where it was."""

    @computed_field
    @property
    def candidates(self) -> int:
        """`n_candidates`, by the name that other programs know."""
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
    """Score when this one feature is spared. Every value >= 0: that is 1-minimality."""

    @computed_field
    @property
    def certified(self) -> bool:
        """Whether the scores prove it: the set flips, and sparing any one feature undoes that."""
        return _proved(self.features, self.ablated_score, self.score_without)


@dataclass(frozen=True, kw_only=True)
class MinimalSetFamily(Finding):
    """The minimal sets of one flipped prompt: how many ways there are to flip it."""

    prompt_id: str
    sets: tuple[CertifiedSet, ...]
    """Each certified, in the order found; the first is the prompt's `MinimalSet`."""
    complete: bool
    """Whether there is no other minimal set among the candidates, provided that ablating more
    never restores refusal. False where the budget ended before, or scores contradict that."""
    contradicted: bool
    """Whether some scored set refuses although a part of it flips. Where not, the proviso is not
    proved either: only sets that were scored speak for it."""
    n_sets_scored: int
    """Ablated sets evaluated to find those after the first, certificates included."""

    @computed_field
    @property
    def core(self) -> tuple[Feature, ...]:
        """Features in every set; a set not found could only make them fewer. Where the list is
        complete, no flip does without them."""
        own = [frozenset(one.features) for one in self.sets]
        return tuple(sorted(frozenset.intersection(*own)))

    @computed_field
    @property
    def replaceable(self) -> tuple[Feature, ...]:
        """Features in some of the sets, and not in all."""
        held = {feature for one in self.sets for feature in one.features}
        return tuple(sorted(held.difference(self.core)))

    @property
    def smallest(self) -> int:
        """Features in the smallest of the sets."""
        return min(len(one.features) for one in self.sets)


@dataclass(frozen=True, kw_only=True)
class PooledSet(Finding):
    """One set for many prompts, built on some of them and tried on others.

    Equally large sets of other origins, on the same held-out prompts, are in `Controls.pooled`.
    """

    features: tuple[Feature, ...]
    built_on: tuple[str, ...]
    held_out: tuple[str, ...]
    flipped_built: Estimate
    flipped_held_out: Estimate
    share_without: Mapping[FeatureKey, float]
    """Share of the building prompts still flipped when this one feature is spared; every value is
    below `flipped_built.value`: no feature can be spared."""
    n_sets_scored: int

    @computed_field
    @property
    def certified(self) -> bool:
        """Whether the shares prove it: some building prompt is flipped, fewer without any one
        feature."""
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
