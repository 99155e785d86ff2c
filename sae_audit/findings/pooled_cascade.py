"""The cascades of all prompts together."""

from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.findings.cascades import EdgeKind
from sae_audit.findings.estimates import Estimate
from sae_audit.findings.features import Feature
from sae_audit.vocabulary import TokenClass


@dataclass(frozen=True, kw_only=True)
class PooledWaveFeature:
    """How often a feature is in a wave."""

    feature: Feature
    wave: int
    share: Estimate
    """Of all cascades."""


@dataclass(frozen=True, kw_only=True)
class PooledEdge:
    """How often an edge is found."""

    cause: Feature
    feature: Feature
    share: Estimate
    """Of the cascades in which the pair was tested."""
    kinds: Mapping[EdgeKind, int]


@dataclass(frozen=True, kw_only=True)
class TokenShare:
    """Where features wake, over prompts: means of the prompts' own shares."""

    n_waves: int
    """Waves ablated."""
    token: TokenClass
    peaks: Estimate
    """Share of the waking features whose largest activation is at such a token (2509.09708)."""
    fires: Estimate
    """Share of the waking features' activations above zero."""
    clean_peaks: Estimate
    """The control: the same of the features that fire on the clean run, same prompts."""
    clean_fires: Estimate
    tokens: Estimate
    """The control: share of such tokens."""


@dataclass(frozen=True, kw_only=True)
class AwakeBesideRandom:
    """How many dormant features wake, and how many wake by chance."""

    n_waves: int
    n_awake: Estimate
    """Mean number once so many waves are ablated, over the prompts that have them."""
    n_random: Estimate
    """The same once matched random sets of equal size are ablated."""
    p_value: float
    """Of the paired difference, by flipping signs."""


@dataclass(frozen=True, kw_only=True)
class PooledCascade:
    """The cascades of all flipped prompts together."""

    depth: Estimate
    """Mean number of waves."""
    depths: Mapping[int, int]
    """Prompts by number of waves."""
    features: tuple[PooledWaveFeature, ...]
    """Every feature in every wave it is in, wave by wave, the most frequent first."""
    edges: tuple[PooledEdge, ...]
    """The most frequent first."""
    edge_kinds: Mapping[EdgeKind, int]
    """Edges of each kind, over all prompts."""
    edge_control: Estimate | None
    """The control: share of the features ablated in a cause's place that wake the same feature,
    averaged by prompt; None where no edge was found or none had a match."""
    tokens: tuple[TokenShare, ...]
    awake: tuple[AwakeBesideRandom, ...]
    compensation: Estimate | None
    """Mean compensation ratio, the final norm live; over the prompts that have both ratios, None
    where none has."""
    compensation_frozen: Estimate | None
    """The same with the final norm frozen, same prompts."""
    compensation_norm: Estimate | None
    """Mean paired difference of the two: the share of the effect that the norm's rescaling undoes."""
