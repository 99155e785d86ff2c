"""The cascades of all flipped prompts, pooled."""

from sae_audit.cascade.pooled import pooled_cascade
from sae_audit.findings.stages import (
    ACTIVATION_TOKENS,
    CASCADE_NULLS,
    CASCADES,
    EDGES,
    POOLED_CASCADE,
    RESTORATIONS,
)
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState

STAGE = POOLED_CASCADE


def run(state: AuditState) -> None:
    session = state.session
    cascades = session.found_each(CASCADES)
    if cascades:
        session.remember(
            STAGE,
            lambda: pooled_cascade(
                cascades,
                session.found_each(EDGES),
                session.found_each(ACTIVATION_TOKENS),
                session.found_each(CASCADE_NULLS),
                session.found_each(RESTORATIONS),
                min_effect=state.config.cascade.min_effect,
                seed=state.config.seed,
            ),
        )


price = nothing
