"""What sets of another origin do, and what ablation breaks."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class SearchNull(Finding):
    """Minimal sets against those that the same search finds among random candidates.

    A search keeps the best of many sets, so its null is not a random set but the same search: for
    each refused prompt, as many random features as there are candidates, in the same layers, firing
    as often. What it flips, it flips because something had to give.
    """

    flipped: Estimate
    """Share of refused prompts flipped by a set of candidates."""
    flipped_random: Estimate
    """The same by a set of random candidates, drawn anew for each prompt."""
    sizes: tuple[int, ...]
    """Features in each set of candidates that flips, rising."""
    sizes_random: tuple[int, ...]
    n_better: int
    """Prompts on which candidates do better: they alone flip it, or with fewer features."""
    n_worse: int
    """Prompts on which random candidates do; on the others the two are tied."""
    better: Estimate | None
    """Share of untied prompts on which candidates do better; None where all are tied."""
    p_value: float
    """One-sided sign test that candidates do better no more often than random ones."""
    near_zero: tuple[str, ...]
    """Refused prompts whose clean score is within `margin` of 0: small disturbances flip them."""
    margin: float
    """Nats."""


@dataclass(frozen=True, kw_only=True)
class SetControl(Finding):
    """What an equally large set of another origin does, on the same prompts."""

    name: str
    """`minimal`, `random_matched`, `linear_probe`, `top_cosine`."""
    flipped: Estimate
    """Share of prompts flipped."""
    score_drop: Estimate
    """Mean fall of the refusal score, nats."""


@dataclass(frozen=True, kw_only=True)
class ScaleControl(Finding):
    """The smallest scales that flip, over all prompts of one kind, and what random sets do at them."""

    ablated: str
    """`minimal_set`: the scales of flipped prompts' own sets; `candidates`: the overshoots of those
    that the whole ablation of all candidates does not flip."""
    flipped: Estimate
    """Share of these prompts that some tried scale flips; of a minimal set, all of them, since the
    whole ablation does."""
    mean: Estimate | None
    """Of the smallest scales, over the prompts that have one; None where none has."""
    median: Estimate | None
    random_flipped: Estimate | None
    """Share of the same prompts that equally large random sets, matched in layers and firing rate,
    flip at the same scale; a prompt counts by its average over them. None where no scale flips, or
    a layer has too few other features to draw from."""


@dataclass(frozen=True, kw_only=True)
class Collateral(Finding):
    """What ablating one set does to harmless prompts."""

    name: str
    kl: Estimate
    """KL divergence of the next-token distribution, clean against ablated, nats."""
    cross_entropy_change: Estimate
    """Change of the cross-entropy (nats a token) of the model's own clean answers."""


@dataclass(frozen=True, kw_only=True)
class ErrorTermControl(Finding):
    """The same minimal sets under each treatment of the SAE's error term."""

    flipped_kept: Estimate
    """All, by construction: these are sets that flip."""
    flipped_frozen: Estimate
    """The error put back to the clean run's: nothing passes through it."""
    flipped_dropped: Estimate
    change_frozen: Estimate
    """Mean change of the ablated prompt's refusal score when the error is frozen, nats. A minimal set
    ends just below 0, where little is enough to undo a flip: this says how little."""
    change_dropped: Estimate
    refused_dropped_alone: Estimate
    """Share of refused prompts still refused when the SAE replaces the stream and nothing is
    ablated: what the SAE itself breaks."""


@dataclass(frozen=True, kw_only=True)
class Controls(Finding):
    per_prompt: tuple[SetControl, ...]
    """Each prompt's own set against equally large sets for that prompt."""
    pooled: tuple[SetControl, ...]
    """The pooled set against equally large sets, on the prompts it was not built on."""
    collateral: tuple[Collateral, ...]
    error_term: ErrorTermControl | None
    """None where no prompt was flipped: there is no set to try."""
    scales: tuple[ScaleControl, ...] = ()
    """One for each kind of prompts there is; empty where scales were left out."""
