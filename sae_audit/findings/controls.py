"""Controls: effects of other sets of the same size, and what ablation breaks."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.rivals import Rivals


@dataclass(frozen=True, kw_only=True)
class SearchNull(Finding):
    """Minimal sets compared with those that the same search finds among random candidates.

    A search keeps the best of many sets, so its null is the same search, not a random set: for each
    refused prompt, as many random features as there are candidates, of the same layers and firing
    rates.
    """

    flipped: Estimate
    """Share of refused prompts flipped by a set of candidates."""
    flipped_random: Estimate
    """Share flipped by a set of random candidates, drawn anew for each prompt."""
    sizes: tuple[int, ...]
    """Number of features in each set of candidates that flips, ascending."""
    sizes_random: tuple[int, ...]
    """The same for random candidates."""
    n_better: int
    """Number of prompts that only candidates flip, or candidates flip with fewer features."""
    n_worse: int
    """Number of prompts on which random candidates do better; the others are ties."""
    better: Estimate | None
    """Share of untied prompts on which candidates do better; None if all are tied."""
    p_value: float
    """One-sided sign test. Null: candidates do better no more often than random ones."""
    near_zero: tuple[str, ...]
    """Refused prompts whose clean score is within `margin` of 0: small disturbances flip them."""
    margin: float
    """Distance of a score from 0, nats."""


@dataclass(frozen=True, kw_only=True)
class SetControl(Finding):
    """Effect of sets of one origin and equal size, on the same prompts."""

    name: str
    """Origin: `minimal` or `pooled`, the audit's own. Random sets without candidates: `random_matched`
    fire on as many prompts; `random_norm` remove as long a vector. Heads of rankings of training
    prompts: `linear_probe` by a probe of peak activations, `linear_probe_end` by one of activations at
    the last token; `top_cosine` by cosine with the direction; `mean_difference` by difference of mean
    activation at the last token, times row norm, times cosine; `attribution` by estimated effect."""
    flipped: Estimate
    """Share of prompts flipped."""
    score_drop: Estimate
    """Mean fall of the refusal score over prompts, nats."""
    removed_norm: float | None = None
    """Length of what the ablation removes: mean norm over template positions and prompts, summed over
    layers; None where sets are compared by size alone."""


@dataclass(frozen=True, kw_only=True)
class ScaleControl(Finding):
    """Smallest ablation scales that flip prompts of one kind, and random sets at these scales."""

    ablated: str
    """`minimal_set`: scales of flipped prompts' own sets; `candidates`: scales above 1 of prompts that
    ablating all candidates does not flip."""
    flipped: Estimate
    """Share of these prompts that some tried scale flips; 1 for minimal sets, which flip at scale 1."""
    mean: Estimate | None
    """Mean of the smallest scales, over the prompts that have one; None if none has."""
    median: Estimate | None
    """Their median; None if no prompt has one."""
    random_flipped: Estimate | None
    """Control: share of the same prompts that random sets of the same size, layers and firing rates
    flip at the same scale; a prompt counts by its average over sets. None if no scale flips, or a
    layer has too few other features."""


@dataclass(frozen=True, kw_only=True)
class Collateral(Finding):
    """Effect of ablating sets of one origin on harmless prompts."""

    name: str
    kl: Estimate
    """Mean KL divergence (nats) of the next-token distribution, clean against ablated."""
    cross_entropy_change: Estimate
    """Mean change of the cross-entropy (nats per token) of the model's own clean answers."""


@dataclass(frozen=True, kw_only=True)
class ErrorTermControl(Finding):
    """The same minimal sets with the SAE's error term kept, frozen and dropped."""

    flipped_kept: Estimate
    """Share flipped with the error kept: all, by construction."""
    flipped_frozen: Estimate
    """Share flipped with the error frozen at the clean run's: nothing passes through it."""
    flipped_dropped: Estimate
    """Share flipped with the error dropped."""
    change_frozen: Estimate
    """Mean change (nats) of the ablated prompts' refusal score if the error is frozen. Minimal sets end
    just below 0, where a small change undoes a flip."""
    change_dropped: Estimate
    """The same if the error is dropped."""
    refused_dropped_alone: Estimate
    """Share of these prompts still refused if the SAE replaces the stream without an ablation; 1 minus
    it is what the SAE itself breaks."""


@dataclass(frozen=True, kw_only=True)
class Controls(Finding):
    """Minimal and pooled sets compared with other sets of the same size, and the damage of ablation."""

    per_prompt: tuple[SetControl, ...]
    """Each prompt's own set and other sets of the same size for that prompt."""
    pooled: tuple[SetControl, ...]
    """The pooled set and other sets of the same size, on the prompts it was not built on."""
    collateral: tuple[Collateral, ...]
    error_term: ErrorTermControl | None
    """None if no prompt was flipped."""
    scales: tuple[ScaleControl, ...] = ()
    """One per kind of prompts present; empty if scales were left out."""
    rivals: Rivals | None = None
    """The pooled set against its rivals; None if there is no pooled set."""

    @property
    def beats_rivals(self) -> bool:
        """Whether the pooled set flips more than every rival at equal size or equal side effects."""
        return self.rivals is not None and self.rivals.beats_rivals

    @property
    def reason(self) -> str:
        """Why it does, or does not."""
        return self.rivals.reason if self.rivals is not None else "There is no pooled set."
