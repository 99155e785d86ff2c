"""The other minimal sets of each flipped prompt."""

from sae_audit.findings import MinimalSetFamily
from sae_audit.findings.stages import MINIMAL_SET_FAMILIES
from sae_audit.minimal.all_sets import minimal_set_family
from sae_audit.minimal.asking import Asking
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt

STAGE = MINIMAL_SET_FAMILIES

_DISTINCT = 0.87
"""Share of the scored sets, of nearly all candidates, that change something and that no other set
equals; measured on the organism."""


def run(state: AuditState) -> None:
    own = {found.prompt_id: found for found in state.minimal_sets}
    settings = state.config.minimal
    if not state.flipped or not settings.more_sets_budget:
        return

    def begin(prompt: Prompt) -> Asking[MinimalSetFamily]:
        # The second of two orders, by estimated effect, finds more sets for the same budget.
        order = state.search_orders(prompt, state.pools[prompt.id])[-1]
        return minimal_set_family(own[prompt.id], order, settings)

    state.session.remember_together(STAGE, state.flipped, begin, state.refusal_scores)


def price(size: AuditSize) -> Work | None:
    budget = size.config.minimal.more_sets_budget
    if not budget:
        return None
    questions = _DISTINCT * size.audit * budget
    own = size.own_order()
    return Work(
        forward_passes=questions + own.forward_passes,
        alone_layer_tokens=own.alone_layer_tokens,
        swept_layer_tokens=size.swept(questions),
        swept_heads=questions,
        alone_encoded=own.alone_encoded,
        assumed="no list of minimal sets is complete before the budget is spent",
    )
