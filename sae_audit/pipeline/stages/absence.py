"""Why an audit ends early, or why its features are no evidence.

It runs after the behaviour, after the direction and after the null of the search. The first two end an
audit: a model that does not refuse, or in words that its score misses, one whose refusal is not tied to
harm, or one without any direction at all. A direction that breaks a limit ends nothing. If minimal sets
are no evidence, they are kept, marked.
"""

from collections.abc import Sequence
from dataclasses import replace

from sae_audit.controls.search_null import absence_of_flips
from sae_audit.direction.presence import (
    absence_of_behaviour,
    agreeing_threshold,
    beside_words,
    with_threshold,
)
from sae_audit.findings import Absence, AbsenceKind, NoDirection
from sae_audit.findings.stages import ABSENCE, BEHAVIOUR, DIRECTION, SEARCH_NULL
from sae_audit.pipeline.means import record_means
from sae_audit.pipeline.pricing import AuditSize
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.subject.readout.refusal_tokens import is_refusal

STAGE = ABSENCE


def run(state: AuditState) -> Absence | None:
    """The reason, also recorded; None if there is none so far."""
    found = _absence(state)
    if found is None:
        return None

    def compute() -> Absence:
        if state.session.if_found(DIRECTION) is None:
            # Over all prompts of each label, for comparison with a model that refuses.
            record_means(state.session, state.inputs.splits.train)
        return found

    return state.session.remember(STAGE, compute)


def price(_: AuditSize) -> None:
    """None: a plan is that of an audit which goes on to its end."""


def _absence(state: AuditState) -> Absence | None:
    session, level = state.session, state.config.evidence.level
    control, direction = session.if_found(SEARCH_NULL), session.if_found(DIRECTION)
    if control is not None:
        return absence_of_flips(control, level=level, n_train=state.direction.n_train)
    if direction is not None:
        return _of_direction(direction) if isinstance(direction, NoDirection) else None
    tokens = state.subject.refusal_tokens
    absence = absence_of_behaviour(
        state.scores,
        session.found(BEHAVIOUR),
        level=level,
        n_unheard=0 if tokens is None or tokens.ids else tokens.n_answers,
    )
    if absence is None:
        return None
    if tokens is None:
        return replace(absence, remedy=state.subject.readout.wording.remedy)
    if absence.kind is AbsenceKind.NO_REFUSAL:
        asked = state.inputs.splits.audit
        found = beside_words(
            absence,
            _refused_in_words(state, asked.harmful),
            _refused_in_words(state, asked.harmless),
            level=level,
            seed=state.config.seed,
        )
        return _with_remedy(state, found)
    return absence


def _with_remedy(state: AuditState, absence: Absence) -> Absence:
    """The absence with a threshold at which scores agree with words, if there is one."""
    if absence.kind is not AbsenceKind.UNSCORED_REFUSAL:
        return absence
    # On other prompts than those that the next audit with this threshold is about.
    asked = list(state.inputs.splits.validation)
    by_id = {one.prompt_id: one.score for one in state.scores}
    threshold = agreeing_threshold(
        [by_id[one.id] for one in asked], _refused_in_words(state, asked)
    )
    if threshold is None:
        return absence
    return with_threshold(absence, threshold, now=state.config.readout.threshold)


def _refused_in_words(state: AuditState, asked: Sequence[Prompt]) -> list[bool]:
    """Whether the answer to each prompt opens with words of refusal."""
    _, texts = state.subject.completions(asked, state.config.answer_tokens)
    return list(map(is_refusal, texts))


def _of_direction(found: NoDirection) -> Absence:
    return Absence(
        kind=AbsenceKind.NO_DIRECTION,
        reason=found.reason,
        also=(),
        remedy="Check the prompts, the chat template (the template positions must differ between "
        "prompts) and the weights' precision (dtype).",
        n_train=found.n_train,
    )
