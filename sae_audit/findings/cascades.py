"""Dormant features that take over, wave by wave, and which activates which."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import computed_field

from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


@dataclass(frozen=True, kw_only=True)
class BackupFeature(Finding):
    """One dormant feature, and the ablated features without whose ablation it stays inactive."""

    feature: Feature
    activation: float
    """Largest activation over positions once the earlier waves are ablated."""
    direct_attribution: float
    """Sum over positions of activation times (decoder row . unit refusal direction)."""
    effect: float
    """Nats by which ablating it too lowers the refusal score."""
    activated_by: tuple[Feature, ...]
    """Features of earlier waves whose sparing alone makes it inactive again; empty where several
    cover for each other."""


@dataclass(frozen=True, kw_only=True)
class Wave(Finding):
    """One round of the cascade."""

    features: tuple[Feature, ...]
    score_after: float
    """Refusal score with this and all earlier waves ablated, nats."""
    n_activated: int
    """Dormant features, in the whole suite, that fire once the earlier waves are ablated; 0 for
    the first wave, whose features fire on the clean run."""
    backups: tuple[BackupFeature, ...]
    """The tested dormant features that this wave ablates; empty for the first wave."""


@dataclass(frozen=True, kw_only=True)
class FirstWaveEffects(Finding):
    """What ablating a cascade's first wave does, as it is and with nothing free to cover for it.

    Falls of the refusal score, nats; what activated features undo is `direct - total`.
    """

    total: float
    """The model's own."""
    direct: float
    """With every feature that is dormant on the clean run held at zero (2307.15771)."""
    direct_frozen: float | None
    """The same with the final norm dividing by the clean run's root mean square (2402.15390); None
    where the norm cannot be frozen."""


@dataclass(frozen=True, kw_only=True)
class Cascade(Finding):
    """Redundant features of one prompt, layer behind layer."""

    prompt_id: str
    waves: tuple[Wave, ...]
    clean_score: float
    unplaced: tuple[Feature, ...]
    """Features of the minimal set that fire in no wave; empty unless waves interfere."""
    effects: FirstWaveEffects | None
    """None where dormant features keep activating, so that there is no direct effect."""
    compensation_ratio: float | None
    """`1 - total effect / direct effect` (2307.15771): the share of the first wave's effect that
    activated features undo. None where the direct effect is nearly nothing."""
    compensation_reason: str
    """Why the ratio is not stated; empty where it is."""
    stop: str
    """Why the cascade ended."""
    n_sets_scored: int
    frozen_compensation_ratio: float | None
    """The same ratio with the direct effect's final norm dividing by the clean run's root mean
    square (2402.15390): what the norm's rescaling undoes counts as undone, too."""
    frozen_reason: str
    """Why that ratio is not stated; empty where it is."""

    @computed_field
    @property
    def depth(self) -> int:
        return len(self.waves)


@dataclass(frozen=True, kw_only=True)
class CascadeNull(Finding):
    """The control of one prompt's cascade: the same search behind a random first wave."""

    prompt_id: str
    cascade: Cascade | None
    """Its first wave is a random set as large as the own one, of the same layers and firing about as
    strongly on this prompt, and holds no feature of the own cascade. None where nothing else fires
    in these layers."""


class EdgeKind(StrEnum):
    """How the ablation of one feature activates another."""

    DIRECT = "direct"
    """By itself, with every other feature of the cascade held at its clean activations."""
    MEDIATED = "mediated"
    """By itself, but only where other features of the cascade may change: it runs through them."""
    JOINT = "joint"
    """Necessary but not sufficient: ablated alone it has no effect; kept while all other earlier waves
    are ablated, it keeps the target inactive."""


@dataclass(frozen=True, kw_only=True)
class BackupEdge(Finding):
    """The ablation of one feature activates another, of a later wave, as tested by intervening.

    Activations are the activated feature's largest over positions; 0: it is inactive.
    """

    cause: Feature
    feature: Feature
    """The one that activates."""
    kind: EdgeKind
    activation: float
    """All earlier waves ablated."""
    activation_kept: float
    """The same, the cause spared. 0: the cause is necessary."""
    activation_alone: float
    """The cause alone ablated, everything else free. 0 for a direct edge: a backup masks it."""
    activation_held: float
    """The cause alone ablated, every other feature of the cascade held at its clean activations."""
    through: tuple[Feature, ...]
    """Features of the cascade that it runs through: held at their clean activations, each alone
    makes the activated feature inactive again (mediated: the cause alone ablated; joint: all earlier
    waves). Empty where they cover for each other, and for direct edges."""
    n_controls: int
    """Features outside the cascade, of the cause's layer and firing about as strongly, that were
    ablated in the cause's place."""
    n_controls_activating: int
    """Those that activate it, too."""


@dataclass(frozen=True, kw_only=True)
class BackupEdges(Finding):
    """Which features' ablation activates which, within one prompt's cascade."""

    prompt_id: str
    edges: tuple[BackupEdge, ...]
    n_pairs_tested: int
    """Pairs of a feature of an earlier wave and one of a later; those without an edge are neither
    enough nor needed."""
    left_out: tuple[Feature, ...]
    """Features of waves too large to be tested whole (`cascade.edge_features`)."""
    n_runs: int
    """Interventions run."""
