"""How well the SAEs reconstruct this model, on the audit prompts."""

from sae_audit.findings import CE_PROMPTS, CE_TOKENS
from sae_audit.findings.stages import SAE_QUALITY
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = SAE_QUALITY


def run(state: AuditState) -> None:
    prompts = list(state.inputs.splits.audit)
    state.session.remember(
        STAGE, lambda: state.subject.sae_quality(prompts, seed=state.config.seed)
    )


def price(size: AuditSize) -> Work:
    n = 2 * size.audit
    n_ce = min(2 * CE_PROMPTS, n)
    with_more_above = [layer for layer in size.facts.saes if layer < size.n_layers - 1]
    longer = size.tokens + CE_TOKENS
    # Two streams branch off at each layer and run the layers above it.
    branched = sum(2 * n_ce * (size.n_layers - 1 - layer) for layer in with_more_above)
    return Work(
        forward_passes=n + n_ce * (3 + 2 * len(with_more_above)),
        layer_tokens=size.whole(n + n_ce) + size.whole(2 * n_ce, longer) + branched * longer,
        heads=n,
        swept_heads=n_ce * CE_TOKENS * (2 + 2 * len(size.facts.saes)),
        encoded=3 * size.encoded(n) + 2 * n_ce * longer * size.features,
        steps=size.facts.batches(n_ce) * CE_TOKENS,
    )
