"""The minimal set of each refused prompt within the side-effect limits.

It is the set found without limits if that is within them, else that of further searches.
"""

from dataclasses import replace

from sae_audit.findings import MinimalSet
from sae_audit.findings.stages import CANDIDATE_EFFECTS, MINIMAL_SETS, SET_EFFECTS, UNLIMITED_SETS
from sae_audit.minimal.asking import answered
from sae_audit.minimal.limited import limited_set
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt

STAGE = MINIMAL_SETS


def run(state: AuditState) -> None:
    session = state.session
    effects = {one.features: one.side_effects for one in session.found(SET_EFFECTS)}
    beyond = frozenset(session.found(CANDIDATE_EFFECTS).beyond_alone)
    unlimited = {one.prompt_id: one for one in session.found_each(UNLIMITED_SETS)}

    def within_limits(prompt: Prompt) -> MinimalSet:
        found = unlimited[prompt.id]
        if not found.flipped:
            return found
        if effects[found.features].within:
            return replace(found, side_effects=effects[found.features])
        changes = HarmlessChanges(state)
        limited = limited_set(
            found,
            state.search_orders(prompt, state.pools[prompt.id]),
            state.config.minimal,
            changes.limits,
            beyond=beyond,
        )
        found, _ = answered(limited, state.score_of(prompt))
        own = changes.measured(frozenset(found.features)) if found.flipped else None
        return replace(found, side_effects=own)

    session.remember_each(STAGE, state.refused, within_limits)


def price(_: AuditSize) -> Work:
    return Work(forward_passes=0, assumed="the sets found without limits are within them")
