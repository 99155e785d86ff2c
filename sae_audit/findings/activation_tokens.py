"""On which tokens features activate."""

from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature
from sae_audit.vocabulary import TokenClass

TokenCounts = Mapping[TokenClass, int]


@dataclass(frozen=True, kw_only=True)
class ActivatedFeatures(Finding):
    """The dormant features that fire once the first waves are ablated."""

    n_waves: int
    """Waves ablated."""
    n_features: int
    """Dormant features, in the whole suite, that fire: those that join the next wave or not."""
    fires_at: TokenCounts
    """Their activations above zero, one for each feature and token, by the token's class."""
    peaks_at: TokenCounts
    """The features, by the class of the token of their largest activation."""
    n_random: tuple[int, ...]
    """The control: dormant features that fire once a random set is ablated, as large, of the same
    layers and firing about as strongly on this prompt; one number a set."""
    random_peaks_at: TokenCounts
    """Those features of all random sets together, by the class of the token of their largest
    activation."""


@dataclass(frozen=True, kw_only=True)
class BackupPositions(Finding):
    """Where a dormant feature that joined a wave fires."""

    feature: Feature
    wave: int
    """The wave it joined; the second is the first that activates."""
    positions: tuple[int, ...]
    """Token positions, from 0, at which it fires once the earlier waves are ablated."""
    fires_at: TokenCounts
    peak_at: TokenClass
    """Class of the token of its largest activation."""


@dataclass(frozen=True, kw_only=True)
class ActivationTokens(Finding):
    """On which tokens of one prompt features activate."""

    prompt_id: str
    tokens: TokenCounts
    """The control: the prompt's tokens (those at which ablation acts) by class."""
    clean_fires_at: TokenCounts
    """The control: activations above zero on the clean run, counted alike."""
    clean_peaks_at: TokenCounts
    active: tuple[ActivatedFeatures, ...]
    """After the first wave, after the first two, and so on."""
    activated: tuple[BackupPositions, ...]
