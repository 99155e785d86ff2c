"""The search among candidates compared with that among random features, prompt by prompt."""

from sae_audit.controls.search_null import against_null
from sae_audit.findings.stages import NULL_SEARCH, SEARCH_NULL
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState

STAGE = SEARCH_NULL


def run(state: AuditState) -> None:
    null = state.session.found_each(NULL_SEARCH)
    margin = state.config.evidence.margin
    state.session.remember(STAGE, lambda: against_null(state.minimal_sets, null, margin=margin))


price = nothing
