"""Stage 4: the waves behind each flipped prompt's minimal set, and those behind random sets."""

from collections.abc import Sequence

import numpy as np

from sae_audit.cascade.by_chance import cascade_by_chance
from sae_audit.cascade.waves import Questions, cascade
from sae_audit.findings import Cascade, CascadeByChance, Direction, MinimalSet
from sae_audit.findings.stages import CASCADES, CASCADES_BY_CHANCE
from sae_audit.pipeline.session import Session
from sae_audit.prompts.types import Prompt


def follow_cascades(
    session: Session,
    prompts: Sequence[Prompt],
    minimal_sets: Sequence[MinimalSet],
    direction: Direction,
) -> list[Cascade]:
    """Waves of dormant features behind each flipped prompt's minimal set."""
    own = {found.prompt_id: frozenset(found.features) for found in minimal_sets if found.flipped}
    settings = session.config.cascade

    def follow(prompt: Prompt) -> Cascade:
        ask = _questions(session, prompt, direction)
        return cascade(prompt.id, ask, own[prompt.id], settings, silent_act=_silent_act(session))

    flipped = [prompt for prompt in prompts if prompt.id in own]
    return session.remember_each(CASCADES, flipped, follow)


def follow_by_chance(
    session: Session,
    prompts: Sequence[Prompt],
    cascades: Sequence[Cascade],
    direction: Direction,
) -> list[CascadeByChance]:
    """The control: the same search on the same prompts, behind one matched random set each."""
    own, config = {found.prompt_id: found for found in cascades}, session.config

    def follow(prompt: Prompt) -> CascadeByChance:
        return cascade_by_chance(
            own[prompt.id],
            _questions(session, prompt, direction),
            config.cascade,
            seed=config.seed,
            silent_act=_silent_act(session),
        )

    flipped = [prompt for prompt in prompts if prompt.id in own]
    return session.remember_each(CASCADES_BY_CHANCE, flipped, follow)


def _questions(session: Session, prompt: Prompt, direction: Direction) -> Questions:
    subject, ablation = session.subject, session.ablation
    return Questions(
        score=session.score_of(prompt),
        active=subject.active(prompt, ablation),
        pull=subject.pull(prompt, np.array(direction.vector), ablation),
        firing=subject.firing(prompt, ablation),
        held_score=subject.held_score(prompt, ablation),
        frozen_norm_obstacle=subject.frozen_norm_obstacle,
    )


def _silent_act(session: Session) -> bool:
    """Set to anything but 0, a feature that does not fire acts as well."""
    return session.config.clamp != 0.0
