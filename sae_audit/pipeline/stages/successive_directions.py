"""Successive refusal directions, each found once those before it are projected out."""

from dataclasses import replace
from functools import cache
from itertools import compress

import numpy as np
from jaxtyping import Float

from sae_audit.config import DirectionSettings
from sae_audit.direction.checking import random_directions
from sae_audit.direction.finding import found_direction
from sae_audit.direction.methods import Means
from sae_audit.direction.successive import (
    SuccessiveQuestions,
    TreatedAsLabelled,
    successive_directions,
)
from sae_audit.findings import Direction, NoDirection, SuccessiveDirections
from sae_audit.findings.stages import (
    DIRECTION_CHECK,
    RANDOM_DIRECTIONS,
    SUCCESSIVE_DIRECTIONS,
    UNITS_OUT,
)
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.stage_one import price_of_choice, removed
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import LabelledPrompts
from sae_audit.record.folder import write_tensors
from sae_audit.record.tensors import read_tensors
from sae_audit.subject import Subject
from sae_audit.subject.intervention.projection import DirectionEffects

STAGE = SUCCESSIVE_DIRECTIONS


def run(state: AuditState) -> None:
    session, subject, config = state.session, state.subject, state.config
    direction, prompts = state.direction, state.prompts

    def compute() -> SuccessiveDirections:
        place = direction.selected
        harmful, harmless = (
            subject.residuals_at(own, layer=place.layer, position=place.position)
            for own in (prompts.train.harmful, prompts.train.harmless)
        )

        def randoms(n_out: int) -> Float[np.ndarray, "draw d_model"]:
            if n_out == 1:
                return read_tensors(session.folder, RANDOM_DIRECTIONS)["directions"]
            return random_directions(
                np.array(direction.vector),
                harmful,
                harmless,
                n=config.controls.random_directions,
                seed=(config.seed, n_out),
            )

        @cache
        def effects(split: str) -> DirectionEffects:
            own = prompts.named()[split]
            return subject.direction_effects(own.harmful, own.harmless)

        found, units = successive_directions(
            direction,
            session.found(DIRECTION_CHECK),
            SuccessiveQuestions(
                prompt_ids=[prompt.id for prompt in prompts.audit.harmful],
                removed=lambda split, units: effects(split).without(units),
                behind=lambda units, on_train, on_validation: direction_behind(
                    subject,
                    _those(prompts.train, on_train),
                    _those(prompts.validation, on_validation),
                    units,
                    settings_behind(config.direction, on_validation.halfway),
                ),
                randoms=randoms,
            ),
            config.direction,
            progress=lambda done, total: session.progress(STAGE, done, total),
        )
        write_tensors(session.folder, UNITS_OUT, {"units": units})
        return found

    session.remember(STAGE, compute, in_parts=True)


def price(size: AuditSize) -> Work:
    """The cost of one direction, assumed to carry refusal; at most of as many as are asked for, each of
    which costs stage 1 again, at its most, and random directions beside it."""
    one = removed(size, 2 * size.train, size.validation + size.audit)
    # To look for one: what is left of the training prompts, their means, and the choice.
    choice = price_of_choice(size)
    sought = removed(size, 2 * size.train, size.train) + (choice.most or choice)
    # Once it is found: what is left on the other splits, and with as many random ones out.
    n_random = size.config.controls.random_directions
    found = removed(size, 0, size.validation + (1 + n_random) * size.audit)
    n_more = size.config.direction.max_directions - 1
    return replace(
        one,
        assumed="one direction carries refusal",
        most=one + (sought + found).times(n_more) if n_more else None,
    )


def settings_behind(settings: DirectionSettings, halfway: float) -> DirectionSettings:
    """The filters of a successive direction: the first one's, but for the floor of the induced score.

    A backup direction acts only if the first is missing, and need not make the model refuse harmless
    prompts. But it must be about refusal: added, it takes harmless prompts at least half of the way to
    the score of those still refused. Without a floor the search finds directions that merely blur the
    first token, and the text goes on refusing.
    """
    return settings.model_copy(update={"induce_floor": min(settings.induce_floor, halfway)})


def direction_behind(
    subject: Subject,
    train: LabelledPrompts,
    validation: LabelledPrompts,
    units: Float[np.ndarray, "direction d_model"],
    settings: DirectionSettings,
) -> Direction | NoDirection:
    """Stage 1 with the unit directions found so far projected out of the stream throughout."""
    effects = subject.direction_effects(validation.harmful, validation.harmless, behind=units)
    left = effects.without(np.zeros((0, subject.d_model)))
    return found_direction(
        Means(
            harmful=subject.mean_residuals(train.harmful, without=units),
            harmless=subject.mean_residuals(train.harmless, without=units),
        ),
        effects,
        settings,
        clean=(left.harmful, left.harmless),
        n_train=(len(train.harmful), len(train.harmless)),
        progress=lambda *_: None,
    )


def _those(prompts: LabelledPrompts, treated: TreatedAsLabelled) -> LabelledPrompts:
    return LabelledPrompts(
        harmful=tuple(compress(prompts.harmful, treated.harmful)),
        harmless=tuple(compress(prompts.harmless, treated.harmless)),
    )
