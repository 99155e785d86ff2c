"""The minimal sets compared with those of null dictionaries."""

from sae_audit.controls.dictionary_null import against_dictionaries
from sae_audit.findings.stages import DICTIONARY_NULL, NULL_DICTIONARIES
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState

STAGE = DICTIONARY_NULL


def run(state: AuditState) -> None:
    """Record the comparison; nothing if no null dictionary was searched."""
    dictionaries = state.session.found_each(NULL_DICTIONARIES)
    if not dictionaries:
        return
    by_prompt = {one.prompt_id: one for one in state.minimal_sets}
    state.session.remember(
        STAGE, lambda: against_dictionaries(by_prompt, dictionaries, seed=state.config.seed)
    )


price = nothing
