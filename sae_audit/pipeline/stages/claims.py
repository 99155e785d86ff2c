"""What the audit claims, from everything that it found."""

from sae_audit.controls.claims import Evidence, claims
from sae_audit.findings import Direction
from sae_audit.findings.stages import (
    ABSENCE,
    BEHAVIOUR,
    CLAIMS,
    CONFIRMATION,
    CONTROLS,
    DICTIONARY_NULL,
    DIRECTION,
    DIRECTION_CHECK,
    INTERACTIONS_OVER_PROMPTS,
    MINIMAL_SETS,
    POOLED_CASCADE,
    POOLED_SET,
    SAE_QUALITY,
    SEARCH_NULL,
    SUCCESSIVE_DIRECTIONS,
)
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState

STAGE = CLAIMS


def run(state: AuditState) -> None:
    session = state.session
    direction = session.if_found(DIRECTION)
    evidence = Evidence(
        level=state.config.evidence.level,
        behaviour=session.found(BEHAVIOUR),
        absence=session.if_found(ABSENCE),
        quality=session.found(SAE_QUALITY),
        direction=direction if isinstance(direction, Direction) else None,
        direction_check=session.if_found(DIRECTION_CHECK),
        successive=session.if_found(SUCCESSIVE_DIRECTIONS),
        minimal_sets=session.found_each(MINIMAL_SETS),
        search_null=session.if_found(SEARCH_NULL),
        dictionary_null=session.if_found(DICTIONARY_NULL),
        pooled_set=session.if_found(POOLED_SET),
        controls=session.if_found(CONTROLS),
        interactions=session.if_found(INTERACTIONS_OVER_PROMPTS),
        pooled_cascade=session.if_found(POOLED_CASCADE),
        confirmation=session.if_found(CONFIRMATION),
    )
    session.remember(STAGE, lambda: claims(evidence))


price = nothing
