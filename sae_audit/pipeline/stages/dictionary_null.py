"""The minimal sets compared with those of null dictionaries."""

from sae_audit.controls.dictionary_null import against_dictionaries, own_sets
from sae_audit.findings.stages import (
    DICTIONARY_NULL,
    NULL_DICTIONARIES,
    OWN_FLIPS_IN_TEXT,
    UNLIMITED_SETS,
)
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState

STAGE = DICTIONARY_NULL


def run(state: AuditState) -> None:
    """Record the comparison; nothing if no null dictionary was searched."""
    dictionaries = state.session.found_each(NULL_DICTIONARIES)
    if not dictionaries:
        return
    prompts = [one.prompt_id for one in dictionaries[0].sets]
    in_text = state.session.if_found(OWN_FLIPS_IN_TEXT)
    own = own_sets(state.minimal_sets, state.session.found_each(UNLIMITED_SETS), prompts, in_text)
    evidence = state.config.evidence
    state.session.remember(
        STAGE,
        lambda: against_dictionaries(
            own,
            dictionaries,
            n_asked=evidence.null_dictionaries,
            one_ends=evidence.null_sizes == "bounds",
            in_text=in_text is not None,
        ),
    )


price = nothing
