"""The search among candidates against the search among random features, prompt by prompt."""

from sae_audit.controls.chance import against_chance
from sae_audit.findings.stages import CHANCE_CONTROL, SEARCH_BY_CHANCE
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState

STAGE = CHANCE_CONTROL


def run(state: AuditState) -> None:
    by_chance = state.session.found_each(SEARCH_BY_CHANCE)
    margin = state.config.evidence.margin
    state.session.remember(
        STAGE, lambda: against_chance(state.minimal_sets, by_chance, margin=margin)
    )


price = nothing
