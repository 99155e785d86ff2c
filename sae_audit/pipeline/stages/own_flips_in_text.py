"""The audited SAEs' own sets that flip in text, on the prompts searched with null dictionaries: real and
null ones are searched alike."""

from collections.abc import Mapping

from sae_audit.findings import TextSet
from sae_audit.findings.stages import OWN_FLIPS_IN_TEXT, TEXT_SETS
from sae_audit.minimal.asking import answered_together
from sae_audit.pipeline.judging import complied
from sae_audit.pipeline.pricing import AuditSize, Work, nothing
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.pipeline.state import AuditState
from sae_audit.pipeline.text_search import Readings, measured_text_set, price_in_text
from sae_audit.prompts.types import Prompt
from sae_audit.subject import Judge

STAGE = OWN_FLIPS_IN_TEXT


def run(state: AuditState) -> None:
    """Record the sets; nothing unless text is confirmed and nulls are searched."""
    judge, evidence = state.judge, state.config.evidence
    if judge is None or evidence.null_flips == "score" or not state.flipping:
        return
    if not (evidence.null_dictionaries or evidence.null_saes):
        return
    drawn = state.drawn_refused(evidence.null_prompts)
    prompts = {one.id: one for one in drawn if one.id in state.flipping}
    known = {one.prompt_id: one for one in state.session.found_each(TEXT_SETS)}
    if known:
        state.session.remember(STAGE, lambda: [known[key] for key in prompts])
    else:
        state.session.remember(STAGE, lambda: _searched(state, judge, prompts))


def _searched(state: AuditState, judge: Judge, prompts: Mapping[str, Prompt]) -> list[TextSet]:
    own = {one.prompt_id: one for one in state.minimal_sets}
    changes = HarmlessChanges(state)
    readings = Readings(state.refusal_scores(), lambda asked: complied(state, judge, asked))
    found: dict[str, TextSet] = {}
    answered_together(
        {
            key: measured_text_set(
                own[key],
                state.search_orders(prompt, state.pools[key])[-1],
                changes,
                budget=state.config.minimal.texts_budget,
            )
            for key, prompt in prompts.items()
        },
        lambda asked: readings([(prompts[key], one) for key, one in asked]),
        done=found.__setitem__,
    )
    return [found[key] for key in prompts]


def price(size: AuditSize) -> Work | None:
    evidence = size.config.evidence
    searched = evidence.null_dictionaries or evidence.null_saes
    if size.config.confirm != "text" or evidence.null_flips == "score" or not searched:
        return None
    if size.config.minimal.certify == "text":
        return nothing(size)  # The sets are known by then.
    return price_in_text(size, min(evidence.null_prompts, size.audit))
