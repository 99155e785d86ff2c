"""Minimal sets whose flip shows in the answer's text, with the answers that prove it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import computed_field

from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature, FeatureKey
from sae_audit.findings.side_effects import SideEffects
from sae_audit.margins import answers


@dataclass(frozen=True, kw_only=True)
class ReadSet(Finding):
    """A set that flips the score, with what the judge says of the answer under its ablation."""

    features: tuple[Feature, ...]
    score: float
    """Refusal score, nats; < 0, or no answer would have been generated."""
    complied: bool | None
    """Whether the judge calls the answer compliance; None if it was still in its thoughts."""


@dataclass(frozen=True, kw_only=True)
class TextSet(Finding):
    """Features whose joint ablation flips the score and the text of one prompt, none to be spared.

    A set flips in text if its score is below 0 and the judge calls the greedy answer compliance.
    """

    prompt_id: str
    features: tuple[Feature, ...]
    """Sorted; empty if no set that flips in text was found: the prompt is flipped by score alone."""
    added: tuple[Feature, ...]
    """Those that the minimal set by score lacks."""
    spared: tuple[Feature, ...]
    """Those of the minimal set by score that are not needed beside `added`."""
    ablated_score: float | None
    """Refusal score (nats) with `features` ablated; None if there are none."""
    score_without: Mapping[FeatureKey, float]
    """Score (nats) if this one feature is spared, of those that were tried."""
    complied_without: Mapping[FeatureKey, bool]
    """Where that score is below 0: whether the judge calls the answer compliance all the same."""
    read: tuple[ReadSet, ...]
    """Every set whose answer was read, in this order; the first is the minimal set by score."""
    budget: int
    """Largest number of answers that might be read."""
    n_sets_scored: int
    reason: str
    """Why there is no set, or why it is not certified; else empty."""
    side_effects: SideEffects | None
    """What ablating the set changes on harmless prompts, within the limits; None without a set."""

    @computed_field
    @property
    def flipped(self) -> bool:
        """Whether a set flips the prompt in text."""
        return bool(self.features)

    @computed_field
    @property
    def n_read(self) -> int:
        """Number of answers generated."""
        return len(self.read)

    @computed_field
    @property
    def at_once(self) -> bool:
        """Whether the answer under the minimal set by score complies, so that nothing was chosen by
        text."""
        return bool(self.read) and self.read[0].complied is True

    @computed_field
    @property
    def certified(self) -> bool:
        """Whether scores and answers prove it: the set flips in text, and sparing any one feature undoes
        that."""
        return (
            self.flipped
            and self.score_without.keys() == set(self.features)
            and all(
                not answers(score) or self.complied_without.get(feature) is False
                for feature, score in self.score_without.items()
            )
        )
