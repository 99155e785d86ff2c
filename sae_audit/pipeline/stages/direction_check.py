"""The chosen direction on audit prompts, compared with random directions (stored as tensors)."""

import numpy as np

from sae_audit.direction.checking import direction_check, random_directions
from sae_audit.findings import DirectionCheck
from sae_audit.findings.stages import DIRECTION_CHECK, RANDOM_DIRECTIONS
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.record.folder import write_tensors

STAGE = DIRECTION_CHECK


def run(state: AuditState) -> None:
    session, subject, seed = state.session, state.subject, state.config.seed
    place, vector = state.direction.selected, np.array(state.direction.vector)
    train, audited = state.prompts.train, state.audited

    def compute() -> DirectionCheck:
        harmful, harmless = (
            subject.residuals_at(prompts, layer=place.layer, position=place.position)
            for prompts in (train.harmful, train.harmless)
        )
        randoms = random_directions(
            vector,
            harmful,
            harmless,
            n=state.config.controls.random_directions,
            seed=seed,
        )
        write_tensors(session.folder, RANDOM_DIRECTIONS, {"directions": randoms})
        return direction_check(
            vector,
            randoms,
            subject.direction_effects(audited.harmful, audited.harmless).on_each,
            layer=place.layer,
            clean=(
                subject.clean_scores(audited.harmful).tolist(),
                subject.clean_scores(audited.harmless).tolist(),
            ),
            train=(harmful, harmless),
            seed=seed,
            progress=lambda done, total: session.progress(STAGE, done, total),
        )

    session.remember(STAGE, compute, in_parts=True)


def price(size: AuditSize) -> Work:
    n_directions = 1 + size.config.controls.random_directions
    effects = 3 * size.audit * n_directions
    others = 2 * size.train + 3 * size.audit
    return Work(
        forward_passes=effects + others,
        layer_tokens=size.whole(effects + others),
        edited_layer_tokens=size.whole(2 * size.audit * n_directions),
        heads=effects + others,
    )
