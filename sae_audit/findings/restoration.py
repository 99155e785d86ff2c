"""Do the dormant features that activate restore refusal, more than others do at the same state?"""

from dataclasses import dataclass

from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


@dataclass(frozen=True, kw_only=True)
class StandInTests(Finding):
    """Dormant features and stand-ins that were active all along, ablated one by one at one state.

    A stand-in fires on the clean run and with the waves ablated, is in no wave, and is the feature of
    the same layer nearest in direct attribution; each stands in once.
    """

    n_waves: int
    """Number of waves ablated."""
    features: tuple[Feature, ...]
    """Dormant features drawn from those tested."""
    effects: tuple[float, ...]
    """Drop of the refusal score (nats) if each is ablated in addition to the waves."""
    stand_ins: tuple[Feature, ...]
    """The stand-in of each."""
    effects_stand_ins: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SameScore(Finding):
    """What activates where unrelated features, neither of the cascade nor candidates, were ablated, one
    at random after the other, until the score was as low as with the minimal set ablated."""

    n_ablated: int
    """Number of features ablated."""
    reached: bool
    """Whether the score became as low (to `cascade.min_effect`); if not, all of them are ablated."""
    score: float
    """Refusal score (nats) with them ablated."""
    n_held: int
    """Number of dormant features that activate, at once or when others are held at zero."""
    restored: float | None
    """Fall of the score (nats) if all of these are held at zero; None if more keep activating."""
    effects: tuple[float, ...]
    """Drop of the score (nats) on ablating one of them, for as many as were tested of the cascade."""


@dataclass(frozen=True, kw_only=True)
class SwitchedOff(Finding):
    """What ablating the later waves does to the features of the first (2509.09708)."""

    n_features: int
    """Number of features of the first wave that fire with the first wave ablated (read before the
    ablation edits the stream at their layer)."""
    n_off: int
    """Number of these that no longer fire with the later waves ablated too."""
    n_weaker: int
    """Number of these whose largest activation becomes smaller, those off included."""


@dataclass(frozen=True, kw_only=True)
class PooledSetWithoutDormant(Finding):
    """The pooled set on one prompt, with and without those of its features that are dormant there."""

    n_dormant: int
    score: float
    """Refusal score (nats) with the pooled set ablated."""
    score_without: float
    """The same with its dormant features left out of the ablation."""


@dataclass(frozen=True, kw_only=True)
class Restoration(Finding):
    """What a prompt's dormant features restore once its first wave is ablated, and two controls."""

    prompt_id: str
    restored: float | None
    """Fall of the refusal score (nats) if all dormant features that activate are held at zero: above 0,
    their activation holds refusal up; below, it helps the ablation. None if more keep activating."""
    n_held: int
    """Number of these features."""
    direct_attribution: float
    """Sum of their direct attributions."""
    n_stand_ins: int
    """Number of them that have a stand-in in each set below; fewer if a layer has too few others."""
    stand_in_sets: tuple[float, ...]
    """Control at the same state: the fall of the score (nats) on ablating, in addition to the first
    wave, as many features that were active all along, drawn anew for each set among those of the same
    layers nearest in direct attribution."""
    stand_in_attributions: tuple[float, ...]
    """Sum of direct attributions of each of these sets."""
    stand_in_tests: tuple[StandInTests, ...]
    """Control at the same state, one by one: with the first wave ablated, the first two, and so on."""
    same_score: SameScore | None
    """Control at the same score; None beyond the first `cascade.same_score_prompts` prompts, and if
    no unrelated feature fires."""
    switched_off: SwitchedOff | None
    """None if there is one wave only."""
    pooled_set: PooledSetWithoutDormant | None
    """None if there is no pooled set."""
