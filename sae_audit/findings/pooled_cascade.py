"""The cascades of all prompts together."""

from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.findings.cascades import EdgeKind
from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature
from sae_audit.vocabulary import TokenClass


@dataclass(frozen=True, kw_only=True)
class PooledWaveFeature(Finding):
    """How often a feature is in a wave."""

    feature: Feature
    wave: int
    share: Estimate
    """Of all cascades."""


@dataclass(frozen=True, kw_only=True)
class StandIns(Finding):
    """The control of edges: features outside the cascade, ablated in the place of their causes."""

    n: int
    """Tries, over the prompts that have the edge."""
    n_activating: int
    """Those in which the same feature activates."""


@dataclass(frozen=True, kw_only=True)
class PooledEdge(Finding):
    """How often a pair of features, tested on three prompts or more, has an edge."""

    cause: Feature
    feature: Feature
    share: Estimate
    """Of the cascades in which the pair was tested: those that hold both, the cause in an earlier
    wave. That the feature is in a later wave is no chance, so a high share is to be expected."""
    kinds: Mapping[EdgeKind, int]
    stand_ins: Mapping[EdgeKind, StandIns]


@dataclass(frozen=True, kw_only=True)
class EdgesOfKind(Finding):
    """All edges of one kind, over all prompts."""

    kind: EdgeKind
    n: int
    control: Estimate | None
    """Share of the features ablated in a cause's place that activate the same feature, averaged by
    prompt; None where there is no such edge or none had a match."""


@dataclass(frozen=True, kw_only=True)
class TokenShare(Finding):
    """Where features activate, over prompts: means of the prompts' own shares."""

    n_waves: int
    """Waves ablated."""
    token: TokenClass
    peaks: Estimate
    """Share of the activated features whose largest activation is at such a token (2509.09708)."""
    fires: Estimate
    """Share of the activated features' activations above zero."""
    clean_peaks: Estimate
    """The control: the same of the features that fire on the clean run, same prompts."""
    clean_fires: Estimate
    random_peaks: Estimate | None
    """The control: `peaks` of the features that activate once matched random sets are ablated instead,
    on those of the same prompts in which any does; None where these are fewer than three."""
    tokens: Estimate
    """The control: share of such tokens."""


@dataclass(frozen=True, kw_only=True)
class ActivatedAgainstRandom(Finding):
    """How many dormant features activate, and how many activate by chance."""

    n_waves: int
    n_activated: Estimate
    """Mean number once so many waves are ablated, over the prompts that have them."""
    n_random: Estimate
    """The same once matched random sets of equal size are ablated."""
    p_value: float
    """Of the paired difference, by flipping signs."""


@dataclass(frozen=True, kw_only=True)
class Depths(Finding):
    """How deep cascades are."""

    mean: Estimate
    """Waves."""
    deeper: Estimate
    """Share of cascades with a second wave."""
    counts: Mapping[int, int]
    """Cascades by number of waves."""
    score_first: Estimate
    """Mean refusal score with the first wave ablated, nats."""


@dataclass(frozen=True, kw_only=True)
class PooledCompensation(Finding):
    """What activated features undo of the first wave's effect, over the prompts that have a direct
    effect."""

    total: Estimate
    """Mean total effect, nats."""
    direct: Estimate
    """Mean direct effect, nats."""
    undone: Estimate
    """Mean of direct less total effect, nats; negative: what activates adds to the effect."""
    ratio: Estimate | None
    """`1 - total / direct` of the two means; None where the interval of the mean direct effect
    reaches 0. A mean of the prompts' own ratios would rest on those that divide by nearly nothing."""


@dataclass(frozen=True, kw_only=True)
class PooledNull(Finding):
    """The same search behind one matched random set a prompt."""

    depths: Depths
    p_value: float
    """That the cascades are as deep as the audited ones: paired by prompt, by flipping signs."""
    compensation: PooledCompensation | None
    """None where no prompt has a direct effect."""


@dataclass(frozen=True, kw_only=True)
class PooledCascade(Finding):
    """The cascades of all flipped prompts together."""

    depths: Depths
    null: PooledNull | None
    """The control of depth and compensation; None where no prompt has a random set."""
    features: tuple[PooledWaveFeature, ...]
    """Every feature in every wave it is in, wave by wave, the most frequent first."""
    edges: tuple[PooledEdge, ...]
    """Every pair that was tested on three prompts or more, those without an edge included; the most
    edges first."""
    n_rare_pairs: int
    """Pairs tested on one prompt or two, of which no share is stated."""
    n_rare_with_edge: int
    """Those of them that have an edge."""
    edge_kinds: tuple[EdgesOfKind, ...]
    tokens: tuple[TokenShare, ...]
    """After so many waves as three prompts or more have, with something active."""
    active: tuple[ActivatedAgainstRandom, ...]
    """After so many waves as three prompts or more have."""
    compensation: PooledCompensation | None
    """The final norm live; None where no prompt has a direct effect."""
    compensation_frozen: Estimate | None
    """The ratio with the final norm frozen, same prompts; None where the norm cannot be frozen, or
    either mean direct effect is within its interval of 0."""
    compensation_norm: Estimate | None
    """The frozen ratio less the live one, prompts resampled whole: the share of the effect that the
    norm's rescaling undoes."""
