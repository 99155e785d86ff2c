"""The interactions of single prompts, summarised over prompts."""

from sae_audit.findings.stages import INTERACTIONS, INTERACTIONS_OVER_PROMPTS
from sae_audit.interactions.over_prompts import over_prompts
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState

STAGE = INTERACTIONS_OVER_PROMPTS


def run(state: AuditState) -> None:
    graphs = state.session.found_each(INTERACTIONS)
    if graphs:
        state.session.remember(
            STAGE,
            lambda: over_prompts(
                graphs,
                state.session.found_pooled(INTERACTIONS),
                n_shuffles=state.config.interactions.n_shuffles,
            ),
        )


price = nothing
