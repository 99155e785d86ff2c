"""For each prompt flipped by score, a set that flips in text too, none of its features to be spared."""

from sae_audit.findings import TextSet
from sae_audit.findings.stages import TEXT_SETS
from sae_audit.minimal.by_text import AskingTexts
from sae_audit.pipeline.judging import complied
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.pipeline.state import AuditState
from sae_audit.pipeline.text_search import Readings, measured_text_set, price_in_text
from sae_audit.prompts.types import Prompt

STAGE = TEXT_SETS


def run(state: AuditState) -> None:
    """Record the sets; nothing unless `minimal.certify` is text."""
    judge, settings = state.judge, state.config.minimal
    if settings.certify != "text" or judge is None or not state.flipped:
        return
    own = {found.prompt_id: found for found in state.minimal_sets}
    changes: HarmlessChanges | None = None

    def readings() -> Readings:
        # Prompts that are searched and recorded together share what is known of harmless prompts.
        nonlocal changes
        changes = HarmlessChanges(state)
        return Readings(state.refusal_scores(), lambda asked: complied(state, judge, asked))

    def begin(prompt: Prompt) -> AskingTexts[TextSet]:
        assert changes is not None, "a search without readings"
        order = state.search_orders(prompt, state.pools[prompt.id])[-1]
        return measured_text_set(own[prompt.id], order, changes, budget=settings.texts_budget)

    state.session.remember_together(STAGE, state.flipped, begin, readings)


def price(size: AuditSize) -> Work | None:
    return price_in_text(size, size.audit) if size.config.minimal.certify == "text" else None
