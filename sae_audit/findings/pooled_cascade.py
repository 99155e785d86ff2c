"""The cascades of all flipped prompts, pooled."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import computed_field

from sae_audit.findings.backups import BackupsClaim, PooledRestoration, backups_claim
from sae_audit.findings.cascades import EdgeKind
from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature
from sae_audit.vocabulary import TokenClass


@dataclass(frozen=True, kw_only=True)
class PooledWaveFeature(Finding):
    """How often a feature is in one wave."""

    feature: Feature
    wave: int
    """Number of the wave, from 1."""
    share: Estimate
    """Share of all cascades that have the feature in this wave."""


@dataclass(frozen=True, kw_only=True)
class StandIns(Finding):
    """Control of edges: features outside the cascade, ablated in place of their causes."""

    n: int
    """Number of tries, over the prompts that have the edge."""
    n_activating: int
    """Number of tries in which the same feature activates."""


@dataclass(frozen=True, kw_only=True)
class PooledEdge(Finding):
    """How often a pair of features, tested on three prompts or more, has an edge."""

    cause: Feature
    feature: Feature
    share: Estimate
    """Share of the cascades that test the pair: those with both features, the cause in an earlier wave.
    The feature is in a later wave because it activated, so a high share is expected."""
    kinds: Mapping[EdgeKind, int]
    """Number of prompts with an edge of each kind."""
    stand_ins: Mapping[EdgeKind, StandIns]
    """Control, by kind of edge."""


@dataclass(frozen=True, kw_only=True)
class EdgesOfKind(Finding):
    """All edges of one kind, over all prompts."""

    kind: EdgeKind
    n: int
    """Number of edges."""
    control: Estimate | None
    """Control: share of the features ablated in a cause's place that activate the same feature,
    averaged by prompt; None if there is no such edge or none had a match."""


@dataclass(frozen=True, kw_only=True)
class TokenShare(Finding):
    """Where features activate: means over prompts of each prompt's shares, for one class of token."""

    n_waves: int
    """Number of waves ablated."""
    token: TokenClass
    peaks: Estimate
    """Share of the activated features whose largest activation is at such a token (2509.09708)."""
    fires: Estimate
    """Share of the activated features' activations above zero that are at such a token."""
    clean_peaks: Estimate
    """Control: `peaks` and `fires` of the features that fire on the clean run, same prompts."""
    clean_fires: Estimate
    random_peaks: Estimate | None
    """Control: `peaks` of the features that activate if matched random sets are ablated instead, over
    those of the same prompts in which any does; None if these are fewer than three."""
    tokens: Estimate
    """Control: share of the prompt's tokens that are of this class."""


@dataclass(frozen=True, kw_only=True)
class ActivatedAgainstRandom(Finding):
    """Number of dormant features that activate, compared with the number by chance."""

    n_waves: int
    n_activated: Estimate
    """Mean number once `n_waves` waves are ablated, over the prompts that have them."""
    n_random: Estimate
    """Mean number once matched random sets of equal size are ablated, same prompts."""
    p_value: float
    """Sign-flip permutation test of the paired difference."""


@dataclass(frozen=True, kw_only=True)
class Depths(Finding):
    """How deep cascades are."""

    mean: Estimate
    """Mean number of waves."""
    deeper: Estimate
    """Share of cascades with a second wave."""
    counts: Mapping[int, int]
    """Number of cascades by number of waves."""
    score_first: Estimate
    """Mean refusal score with the first wave ablated, nats."""


@dataclass(frozen=True, kw_only=True)
class PooledCompensation(Finding):
    """How much of the first wave's effect activated features undo, over prompts with a direct effect."""

    total: Estimate
    """Mean total effect, nats."""
    direct: Estimate
    """Mean direct effect, nats."""
    undone: Estimate
    """Mean of direct minus total effect, nats; negative if activated features add to the effect."""
    ratio: Estimate | None
    """`1 - total / direct` of the two means, since some prompts' own ratios divide by nearly 0; None if
    the interval of the mean direct effect reaches 0."""


@dataclass(frozen=True, kw_only=True)
class PooledNull(Finding):
    """Control: the same search behind one matched random set per prompt."""

    depths: Depths
    p_value: float
    """Sign-flip test, paired by prompt. Null: these cascades are as deep as the audited ones."""
    compensation: PooledCompensation | None
    """None if no prompt has a direct effect."""


@dataclass(frozen=True, kw_only=True)
class OutsideText(Finding):
    """Activated features that peak outside the user's text: on the template, the system prompt or the
    token that begins the text (2509.09708)."""

    n_waves: int
    """Number of waves ablated."""
    share: Estimate
    """Share of the activated features, mean over prompts."""
    on_bos: Estimate | None
    """Share of those that peak on the token that begins the text, mean over the prompts that have any;
    None if these are fewer than three."""


@dataclass(frozen=True, kw_only=True)
class Necessity(Finding):
    """Do flips fail if the dormant features are left out of the ablation (2509.09708)?"""

    n_with_dormant: int
    """Number of prompts flipped by all waves, with more than one wave."""
    needed: Estimate
    """Share of all flipped prompts on which the flip fails without their dormant features."""
    n_pooled: int
    """Number of prompts that the pooled set flips and on which a feature of it is dormant."""
    n_pooled_needed: int
    """Number of these on which the flip fails without those features."""


@dataclass(frozen=True, kw_only=True)
class PooledSwitchedOff(Finding):
    """What ablating later waves does to features of the first, over prompts with a later wave."""

    off: Estimate
    """Mean share of first-wave features that no longer fire."""
    weaker: Estimate
    """Mean share that fires less strongly, those off included."""


@dataclass(frozen=True, kw_only=True)
class PooledCascade(Finding):
    """The cascades of all flipped prompts together."""

    depths: Depths
    null: PooledNull | None
    """Control of depth and compensation; None if no prompt has a random set."""
    features: tuple[PooledWaveFeature, ...]
    """Every feature in every wave it is in, wave by wave, the most frequent first."""
    edges: tuple[PooledEdge, ...]
    """Every pair tested on at least three prompts, those without an edge included; most edges first."""
    n_rare_pairs: int
    """Number of pairs tested on one prompt or two, too few to state a share."""
    n_rare_with_edge: int
    """Number of these that have an edge."""
    edge_kinds: tuple[EdgesOfKind, ...]
    tokens: tuple[TokenShare, ...]
    """Per number of ablated waves that three or more prompts reach with a dormant feature active."""
    active: tuple[ActivatedAgainstRandom, ...]
    """Per number of ablated waves that three or more prompts reach."""
    compensation: PooledCompensation | None
    """With the final norm live; None if no prompt has a direct effect."""
    compensation_frozen: Estimate | None
    """Ratio with the final norm frozen, same prompts; None if the norm cannot be frozen, or the
    interval of either mean direct effect reaches 0."""
    compensation_norm: Estimate | None
    """Frozen minus live ratio, on the same prompts: share of the effect undone by the norm's
    rescaling."""
    outside_text: tuple[OutsideText, ...]
    """Per number of ablated waves, as `tokens`."""
    necessity: Necessity
    switched_off: PooledSwitchedOff | None
    """None if no prompt has a later wave and a first one that still fires."""
    restoration: PooledRestoration | None
    """None if what is restored was measured on no prompt."""

    @computed_field
    @property
    def backups(self) -> BackupsClaim:
        """Whether the dormant features that activate are backups: they restore refusal, more than others
        active all along do at the same state, and more than what activates at the same score."""
        return backups_claim(self.restoration)
