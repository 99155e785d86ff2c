"""A wider pool for each prompt that ablating all candidates does not flip.

Features that compensate for the candidates become visible only after the candidates are ablated: they
may have a low cosine with the direction, or be inactive on the clean run. Each round adds those with
the largest estimated effect then.
"""

from sae_audit.findings.stages import WIDENING
from sae_audit.pipeline.pools import widened_pool
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = WIDENING


def run(state: AuditState) -> None:
    pool, rounds = frozenset(state.candidates.ranked), state.config.candidates.widen_rounds
    state.session.remember_each(
        STAGE, state.refused, lambda prompt: widened_pool(state, prompt, pool, rounds=rounds)
    )


def price(size: AuditSize) -> Work:
    # A clean pass and one with all candidates ablated; more only if that does not flip.
    return Work(
        forward_passes=2 * size.audit,
        alone_layer_tokens=size.whole(size.audit),
        swept_layer_tokens=size.swept(size.audit),
        heads=size.audit,
        swept_heads=size.audit,
        assumed="all candidates together flip every prompt",
    )
