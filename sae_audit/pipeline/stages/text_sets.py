"""For each prompt flipped by score, a set that flips in text too, none of its features to be spared."""

from sae_audit.findings import TextSet
from sae_audit.findings.stages import TEXT_SETS
from sae_audit.minimal.by_text import AskingTexts
from sae_audit.pipeline.judging import complied
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.side_effects import HarmlessChanges, changes_price
from sae_audit.pipeline.state import AuditState
from sae_audit.pipeline.text_search import Readings, measured_text_set
from sae_audit.prompts.types import Prompt

STAGE = TEXT_SETS

_REFUSING = 0.35
"""Assumed share of flips by score that do not show in text; on the bundled organism .33."""
_READ = 6
"""Assumed number of answers read in the search of one of these prompts; on the bundled organism 5.5."""
_LIMITED = 2.5
"""Assumed number of sets of each such search that are measured on harmless prompts."""
_OWN_TOKENS = 16
"""Tokens of own answers on which side effects are measured."""
_GROUP = 16
"""Number of prompts whose searches share batches of answers."""


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
    if size.config.minimal.certify != "text":
        return None
    searched, groups = _REFUSING * size.audit, size.audit / _GROUP
    each = min(_READ, size.config.minimal.texts_budget)
    n_read = size.audit + searched * (each - 1)
    own, harmless = size.own_order(), changes_price(size, _LIMITED * searched)
    n = size.config.side_effects.prompts
    # Side effects of the sets found, on the model's own answers.
    measured, longer = n * (searched + groups), size.tokens + _OWN_TOKENS
    rounds = size.facts.batches(size.audit) + groups * each
    return Work(
        # Every answer is also charged the clean run of its prompt.
        forward_passes=2 * n_read + own.forward_passes + harmless.forward_passes + measured,
        layer_tokens=size.whole(n_read),
        alone_layer_tokens=own.alone_layer_tokens
        + harmless.alone_layer_tokens
        + size.whole(measured, longer),
        swept_layer_tokens=size.swept(n_read) + harmless.swept_layer_tokens,
        heads=n_read,
        swept_heads=n_read + harmless.swept_heads + measured * longer,
        alone_encoded=own.alone_encoded,
        steps=rounds * size.config.answer_tokens + groups * size.facts.batches(n) * _OWN_TOKENS,
        assumed=f"{_REFUSING:.0%} of flips by score refuse in text; {each} answers for each of these",
    )
