"""How well the SAEs describe this model, on the audit prompts."""

from sae_audit.findings import CE_PROMPTS, CE_TOKENS
from sae_audit.findings.stages import SAE_QUALITY
from sae_audit.pipeline.pricing import Scale, Work
from sae_audit.pipeline.state import AuditState

STAGE = SAE_QUALITY


def run(state: AuditState) -> None:
    prompts = list(state.inputs.splits.audit)
    state.session.remember(
        STAGE, lambda: state.subject.sae_quality(prompts, seed=state.config.seed)
    )


def price(scale: Scale) -> Work:
    n = 2 * scale.audit
    n_ce = min(2 * CE_PROMPTS, n)
    with_more_above = [layer for layer in scale.facts.saes if layer < scale.n_layers - 1]
    longer = scale.tokens + CE_TOKENS
    # Two streams branch off at each layer and run the layers above it.
    branched = sum(2 * n_ce * (scale.n_layers - 1 - layer) for layer in with_more_above)
    return Work(
        forward_passes=n + n_ce * (3 + 2 * len(with_more_above)),
        layer_tokens=scale.whole(n + n_ce) + scale.whole(2 * n_ce, longer) + branched * longer,
        heads=n,
        swept_heads=n_ce * CE_TOKENS * (2 + 2 * len(scale.facts.saes)),
        encoded=3 * scale.encoded(n) + 2 * n_ce * longer * scale.features,
        steps=scale.facts.batches(n_ce) * CE_TOKENS,
    )
