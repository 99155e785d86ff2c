"""Controls: effects of other sets of the same size, and what ablation breaks."""

from dataclasses import dataclass

import numpy as np
from pydantic import computed_field

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.rivals import Rivals
from sae_audit.margins import answers


@dataclass(frozen=True, kw_only=True)
class NullScores(Finding):
    """One refused prompt's scores with each pool of random features ablated whole."""

    prompt_id: str
    scores: tuple[float, ...]
    """Refusal scores (nats), one for each pool, in the order drawn; < 0 complies."""

    @computed_field
    @property
    def n_flipping(self) -> int:
        """Number of pools that flip the prompt."""
        return int(answers(np.array(self.scores)).sum())


@dataclass(frozen=True, kw_only=True)
class SearchNull(Finding):
    """The candidates compared with whole pools of as many random features.

    Each pool is matched to the candidates in layers and firing rates, drawn once, and used for all
    refused prompts. A pool's statistic is the number of prompts that ablating all of it flips; of those
    that flip as many as the candidates, plus one over the median size of the sets that the same search
    finds in it on the first prompts.
    """

    flipped: Estimate
    """Share of refused prompts flipped by a set of their pool, widened or not."""
    sizes: tuple[int, ...]
    """Number of features in each set that flips, ascending."""
    flipped_by_candidates: Estimate
    """Share flipped by ablating all candidates, before any pool is widened: widening looks for effect,
    which the random pools do not."""
    n_flipped_by_pools: tuple[int, ...]
    """Number of prompts that ablating each random pool flips, in the order drawn."""
    n_pools: int
    """Number of random pools (`evidence.null_pools`)."""
    n_tied: int
    """Number of pools that flip as many prompts as the candidates, and were searched."""
    statistic: float
    """The candidates' statistic, prompts."""
    null_values: tuple[float, ...]
    """The statistic of each random pool."""
    p_value: float
    """One-sided, by rank: share of all pools, the candidates' included, whose statistic is at least the
    candidates'. Null: the candidates are one more such pool."""
    smallest_p: float
    """Smallest p-value that so many pools can give."""
    near_zero: tuple[str, ...]
    """Refused prompts whose clean score is within `margin` of 0: small disturbances flip them."""
    margin: float
    """Distance of a score from 0, nats."""

    @property
    def n_as_good(self) -> int:
        """Number of random pools that do as well as the candidates."""
        return sum(value >= self.statistic for value in self.null_values)


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
