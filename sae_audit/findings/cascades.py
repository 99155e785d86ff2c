"""Cascades: dormant features that activate wave by wave, and which ablation activates which feature."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import computed_field

from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature
from sae_audit.margins import answers


@dataclass(frozen=True, kw_only=True)
class DormantFeature(Finding):
    """A dormant feature that joins a wave: zero on the clean run, active once earlier waves are ablated.

    Whether such features are backups, which restore refusal, `PooledCascade.backups` says.
    """

    feature: Feature
    activation: float
    """Largest activation (the SAE's unit) over positions, with the earlier waves ablated."""
    direct_attribution: float
    """Sum over positions of activation times (decoder row . unit refusal direction)."""
    effect: float
    """Drop of the refusal score (nats) if it is ablated in addition to the earlier waves."""
    activated_by: tuple[Feature, ...]
    """Features of earlier waves whose sparing alone makes it inactive again; empty if none does."""


@dataclass(frozen=True, kw_only=True)
class Wave(Finding):
    """One round of the cascade: features ablated in addition to all earlier waves."""

    features: tuple[Feature, ...]
    score_after: float
    """Refusal score (nats) with this and all earlier waves ablated."""
    n_activated: int
    """Number of dormant features of all SAEs that fire once the earlier waves are ablated; 0 for the
    first wave, whose features fire on the clean run."""
    dormant: tuple[DormantFeature, ...]
    """Tested dormant features that this wave ablates; empty for the first wave."""


@dataclass(frozen=True, kw_only=True)
class DormantTests(Finding):
    """The dormant features tested with the first waves ablated, whether they join the next or not."""

    n_waves: int
    """Number of waves ablated."""
    features: tuple[Feature, ...]
    direct_attributions: tuple[float, ...]
    """Of each, as in `DormantFeature`; below 0 it pushes away from refusal."""
    effects: tuple[float, ...]
    """Drop of the refusal score (nats) if each is ablated in addition to the waves."""


@dataclass(frozen=True, kw_only=True)
class FirstWaveEffects(Finding):
    """Falls of the refusal score (nats) when a cascade's first wave is ablated.

    Activated features undo `direct - total`.
    """

    total: float
    """Fall in the model itself, whose dormant features may activate."""
    direct: float
    """Fall with every feature that is dormant on the clean run frozen at zero (2307.15771)."""
    direct_frozen: float | None
    """`direct` with the final norm dividing by the clean run's root mean square (2402.15390); None if
    the norm cannot be frozen."""


@dataclass(frozen=True, kw_only=True)
class Cascade(Finding):
    """Redundant features of one prompt, in waves: each activates once the earlier ones are ablated."""

    prompt_id: str
    waves: tuple[Wave, ...]
    tests: tuple[DormantTests, ...]
    """With the first wave ablated, the first two, and so on; none where nothing dormant activates."""
    held: tuple[tuple[Feature, ...], ...]
    """The dormant features that activate with the first wave ablated; then those that activate once
    these are held at zero, and so on. All of them are held in the direct effect."""
    clean_score: float
    """Refusal score of the clean run, nats."""
    unplaced: tuple[Feature, ...]
    """Features of the minimal set that fire in no wave; empty unless waves interfere."""
    effects: FirstWaveEffects | None
    """None if dormant features keep activating: there is then no direct effect."""
    compensation_ratio: float | None
    """`1 - total / direct` (2307.15771): share of the first wave's direct effect that activated
    features undo. None if there is no direct effect, or it is close to 0."""
    compensation_reason: str
    """Why the ratio is None; else empty."""
    stop: str
    """Why the cascade ended."""
    n_sets_scored: int
    """Number of ablated sets scored."""
    frozen_compensation_ratio: float | None
    """`1 - total / direct_frozen` (2402.15390): rescaling by the final norm counts as undoing, too.
    None as `frozen_reason` says."""
    frozen_reason: str
    """Why that ratio is None; else empty."""

    @computed_field
    @property
    def depth(self) -> int:
        """Number of waves."""
        return len(self.waves)

    @computed_field
    @property
    def needs_dormant(self) -> bool:
        """Whether ablating all waves flips the prompt, and leaving their dormant features out does not:
        the paper's own test of dormant features (2509.09708)."""
        return answers(self.waves[-1].score_after) and not answers(self.waves[0].score_after)


@dataclass(frozen=True, kw_only=True)
class CascadeNull(Finding):
    """Control of one prompt's cascade: the same search behind a random first wave."""

    prompt_id: str
    cascade: Cascade | None
    """Its first wave matches the prompt's own in size, layers and activation on this prompt, and shares
    no feature with the own cascade. None if no other feature fires in these layers."""


class EdgeKind(StrEnum):
    """How the ablation of one feature activates another."""

    DIRECT = "direct"
    """Sufficient with every other feature of the cascade frozen at its clean activations."""
    MEDIATED = "mediated"
    """Sufficient only if other features of the cascade may change: the edge runs through them."""
    JOINT = "joint"
    """Necessary but not sufficient: ablating it alone has no effect, but if it is kept while all other
    earlier-wave features are ablated, the target stays inactive."""


@dataclass(frozen=True, kw_only=True)
class ActivationEdge(Finding):
    """The ablation of one feature activates another of a later wave, tested by intervening.

    Activations are the activated feature's largest over positions; at 0 it is inactive.
    """

    cause: Feature
    feature: Feature
    """The activated feature."""
    kind: EdgeKind
    activation: float
    """With all earlier waves ablated."""
    activation_kept: float
    """With all earlier waves but the cause ablated. 0: the cause is necessary."""
    activation_alone: float
    """With the cause alone ablated, everything else free. If 0, a direct edge is masked by another
    dormant feature."""
    activation_held: float
    """With the cause alone ablated, all others of the cascade frozen at their clean activations."""
    through: tuple[Feature, ...]
    """Features of the cascade that the edge runs through: freezing any one at its clean activations
    makes the activated feature inactive again (mediated: with the cause alone ablated; joint: all
    earlier waves). Empty for direct edges, and if these features compensate for each other."""
    n_controls: int
    """Number of features outside the cascade, of the cause's layer and firing about as strongly, that
    were ablated in its place."""
    n_controls_activating: int
    """Number of these that activate the feature, too."""


@dataclass(frozen=True, kw_only=True)
class ActivationEdges(Finding):
    """The edges of one prompt's cascade: whose ablation activates which feature."""

    prompt_id: str
    edges: tuple[ActivationEdge, ...]
    n_pairs_tested: int
    """Number of pairs (a feature of an earlier wave, one of a later) tested. Without an edge, the first
    is neither sufficient nor necessary for the second."""
    left_out: tuple[Feature, ...]
    """Untested features of waves larger than `cascade.edge_features`."""
    n_runs: int
    """Number of interventions run."""
