"""The classes of tokens at which features activate."""

from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature
from sae_audit.vocabulary import TokenClass

TokenCounts = Mapping[TokenClass, int]


@dataclass(frozen=True, kw_only=True)
class ActivatedFeatures(Finding):
    """The dormant features that fire once the first waves are ablated, by class of token."""

    n_waves: int
    """Number of waves ablated."""
    n_features: int
    """Number of dormant features of all SAEs that fire, whether they join the next wave or not."""
    fires_at: TokenCounts
    """Number of their activations above zero (one per feature and token), by class of token."""
    peaks_at: TokenCounts
    """Number of these features, by class of the token of their largest activation."""
    n_random: tuple[int, ...]
    """Control: number of dormant features that fire once a random set is ablated, one number per set.
    Sets match the waves in size, layers and activation on this prompt."""
    random_peaks_at: TokenCounts
    """Control: `peaks_at` of those features, all random sets together."""


@dataclass(frozen=True, kw_only=True)
class DormantPositions(Finding):
    """Token positions at which a dormant feature that joined a wave fires."""

    feature: Feature
    wave: int
    """Number of the wave it joined; the second is the first that activates."""
    positions: tuple[int, ...]
    """Token positions, from 0, at which it fires once the earlier waves are ablated."""
    fires_at: TokenCounts
    """Number of these positions, by class of token."""
    peak_at: TokenClass
    """Class of the token of its largest activation."""


@dataclass(frozen=True, kw_only=True)
class ActivationTokens(Finding):
    """The classes of tokens at which features of one prompt activate, wave by wave."""

    prompt_id: str
    tokens: TokenCounts
    """Control: number of the prompt's tokens at which ablation acts, by class."""
    clean_fires_at: TokenCounts
    """Control: number of activations above zero on the clean run, by class of token."""
    clean_peaks_at: TokenCounts
    """Control: features firing on the clean run, by class of the token of their largest activation."""
    active: tuple[ActivatedFeatures, ...]
    """After the first wave is ablated, after the first two, and so on."""
    activated: tuple[DormantPositions, ...]
    """One entry per dormant feature that joined a wave."""
