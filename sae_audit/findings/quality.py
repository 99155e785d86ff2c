"""How well the SAEs describe this model."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding

CE_PROMPTS = 16
"""Audit prompts of each label that the cross-entropy of `SaeQuality` is measured on: the first."""
CE_TOKENS = 16
"""Longest answer to each that it is the cross-entropy of."""


@dataclass(frozen=True, kw_only=True)
class SaeQuality(Finding):
    """How well one layer's SAE describes this model on the audited prompts; intervals over prompts."""

    layer: int
    explained_variance: Estimate
    """`1 - sum |x - x_hat|^2 / sum |x - mean x|^2`, over all tokens."""
    explained_variance_without_bos: Estimate
    """The same over all tokens but BOS, whose norm is many times that of any other."""
    explained_variance_shuffled: Estimate
    """Control of `explained_variance_without_bos`: the same activations on decoder rows permuted to
    other features, so as many, as active, of the same SAE. 0 is what the mean explains."""
    l0: Estimate
    """Average number of firing features a token."""
    ce_recovered: Estimate | None
    """`(CE_zero - CE_sae) / (CE_zero - CE_clean)`: 1 where the reconstruction predicts as well as
    the model, 0 where no better than zeros (SAEBench, 2503.09532; 2505.23556).

    CE is the cross-entropy of the clean model's own greedy answers, up to `CE_TOKENS` tokens each
    and given the prompt, to the first `CE_PROMPTS` harmful and as many harmless prompts; not that
    of the prompts' tokens, which a chat model need never have learnt to predict. For CE_sae the
    output of this one layer is replaced by its reconstruction, for CE_zero by zeros, throughout
    prompt and answer; BOS positions are left as they are in both: Gemma Scope, for one, was not
    trained on them. Slightly above 1 where the reconstruction is surer of these answers than the
    model. None where there is no ratio: where the interval of CE_zero - CE_clean, over prompts,
    reaches 0.
    """
    ce_clean: Estimate
    """CE of the model itself: of its own answers, nats a token."""
