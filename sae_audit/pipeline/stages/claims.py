"""What the audit claims, from everything that it found."""

from collections.abc import Sequence

from sae_audit.controls.claims import Evidence, claims
from sae_audit.controls.word_rival import Asked, WordRival, word_rival
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
    SCORES,
    SEARCH_NULL,
    SUCCESSIVE_DIRECTIONS,
)
from sae_audit.margins import refuses
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Label, LabelledPrompts

STAGE = CLAIMS


def run(state: AuditState) -> None:
    session = state.session
    direction = session.if_found(DIRECTION)
    evidence = Evidence(
        level=state.config.evidence.level,
        behaviour=session.found(BEHAVIOUR),
        word=_word(state),
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


def _word(state: AuditState) -> WordRival | None:
    scores = {one.prompt_id: one.score for one in state.session.found(SCORES)}

    def asked(*splits: LabelledPrompts) -> Sequence[Asked]:
        return [
            Asked(
                text=prompt.text,
                harmful=prompt.label is Label.HARMFUL,
                score=scores[prompt.id],
                refused=bool(refuses(scores[prompt.id])),
            )
            for prompts in splits
            for prompt in prompts
        ]

    splits = state.inputs.splits
    return word_rival(
        asked(splits.train, splits.validation), asked(splits.audit), seed=state.config.seed
    )


price = nothing
