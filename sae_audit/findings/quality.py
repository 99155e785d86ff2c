"""How well the SAEs reconstruct this model's activations."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding

CE_PROMPTS = 16
"""Number of audit prompts of each label, the first ones, behind the cross-entropy of `SaeQuality`."""
CE_TOKENS = 16
"""Tokens of the longest answer to each that enters the cross-entropy."""


@dataclass(frozen=True, kw_only=True)
class SaeQuality(Finding):
    """How well one layer's SAE reconstructs this model; intervals are over audit prompts."""

    layer: int
    explained_variance: Estimate
    """`1 - sum |x - x_hat|^2 / sum |x - mean x|^2`, over all tokens."""
    explained_variance_without_bos: Estimate
    """The same without BOS tokens, whose norm is many times that of any other."""
    explained_variance_rotated: Estimate
    """Control of `explained_variance_without_bos`: the same SAE with encoder columns and decoder rows
    rotated at random. The mean alone gives 0."""
    l0: Estimate
    """Mean number of firing features per token."""
    ce_recovered: Estimate | None
    """`(CE_mean - CE_sae) / (CE_mean - CE_clean)`: 1 if the reconstruction predicts as well as the
    model, 0 if no better than the layer's mean output. The usual base is zeros (SAEBench, 2503.09532).
    On either a rotated SAE may score high, so it says something only beside `ce_recovered_rotated`.

    CE is the cross-entropy of the clean model's own greedy answers, up to `CE_TOKENS` tokens each,
    given the prompt, for the first `CE_PROMPTS` prompts of each label; a chat model need not predict
    the prompts' own tokens. For CE_sae the output of this one layer is replaced by its reconstruction,
    for CE_mean by its mean over the prompts' tokens, throughout prompt and answer except at BOS (Gemma
    Scope, for one, was not trained on it). Slightly above 1 if the reconstruction is surer of these
    answers than the model. None if the interval of CE_mean - CE_clean over prompts reaches 0.
    """
    ce_recovered_rotated: Estimate | None
    """Control of `ce_recovered`: the same with the rotated SAE."""
    ce_clean: Estimate
    """Cross-entropy of the clean model on its own answers, nats per token."""

    @property
    def explains_nothing(self) -> bool:
        """Whether the interval of explained variance, BOS left out, is at most 0."""
        return self.explained_variance_without_bos.high <= 0.0


def explaining_nothing(
    quality: Sequence[SaeQuality], used: Collection[int]
) -> tuple[SaeQuality, ...]:
    """The SAEs of the layers `used` (of all, if none is) if not one of them explains anything; else
    none."""
    own = tuple(one for one in quality if one.layer in used or not used)
    return own if all(one.explains_nothing for one in own) else ()
