"""How sure stage 1 is, and how much of what it found the SAEs show."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.controls.dictionary_coverage import dictionary_coverage, layer_coverages
from sae_audit.direction.checking import direction_check, random_directions
from sae_audit.findings import (
    CandidateSet,
    DictionaryCoverage,
    Direction,
    DirectionCheck,
    MinimalSet,
)
from sae_audit.findings.stages import DICTIONARY_COVERAGE, DIRECTION_CHECK, RANDOM_DIRECTIONS
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.stages import ranked
from sae_audit.pipeline.training import Training
from sae_audit.prompts.types import LabelledPrompts
from sae_audit.record.folder import write_tensors
from sae_audit.record.tensors import read_tensors
from sae_audit.sampling import enough_left, matched_random_sets


def check_direction(
    session: Session, direction: Direction, train: LabelledPrompts, audited: LabelledPrompts
) -> DirectionCheck:
    """The chosen direction on audit prompts, beside random directions; these are kept as tensors."""
    subject, seed = session.subject, session.config.seed
    place, vector = direction.selected, np.array(direction.vector)

    def compute() -> DirectionCheck:
        harmful, harmless = (
            subject.residuals_at(prompts, layer=place.layer, position=place.position)
            for prompts in (train.harmful, train.harmless)
        )
        randoms = random_directions(
            vector,
            harmful,
            harmless,
            n=session.config.controls.random_directions,
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
            progress=lambda done, total: session.progress(DIRECTION_CHECK, done, total),
        )

    return session.remember(DIRECTION_CHECK, compute, in_parts=True)


def measure_coverage(
    session: Session,
    direction: Direction,
    train: LabelledPrompts,
    training: Training,
    audited: LabelledPrompts,
    candidates: CandidateSet,
    minimal_sets: Sequence[MinimalSet],
) -> DictionaryCoverage:
    """How much of what removing the direction does the candidates reach, and the SAEs show."""
    subject, seed = session.subject, session.config.seed
    found = {one.prompt_id: one for one in minimal_sets}
    refused = [found[prompt.id] for prompt in audited.harmful]

    def compute() -> DictionaryCoverage:
        randoms = read_tensors(session.folder, RANDOM_DIRECTIONS)["directions"]
        directions = np.concatenate([np.array(direction.vector)[None], randoms])
        harmful, harmless = (
            subject.projections(prompts, directions, position=direction.selected.position)
            for prompts in (audited.harmful, audited.harmless)
        )
        return dictionary_coverage(
            subject.replaced_parts(audited.harmful, train.harmless, directions, session.ablation),
            len(randoms),
            clean=np.array([one.clean_score for one in refused]),
            candidates=np.array([one.candidates_score for one in refused]),
            random_sets=_random_set_scores(session, training, audited, candidates),
            layers=layer_coverages(
                harmful,
                harmless,
                subject.decoder_cosines(directions),
                per_layer=session.config.candidates.per_layer,
                seed=seed,
            ),
            seed=seed,
        )

    return session.remember(DICTIONARY_COVERAGE, compute)


def _random_set_scores(
    session: Session, training: Training, audited: LabelledPrompts, candidates: CandidateSet
) -> list[Float[np.ndarray, " prompt"]]:
    """Scores of refused prompts with random features in place of all candidates, set by set."""
    rates = training.features().firing_rates
    pool = frozenset(ranked(candidates))
    if not enough_left(pool, rates):
        return []
    sets = matched_random_sets(
        pool,
        rates,
        excluded=pool,
        n_sets=session.config.controls.random_sets,
        seed=session.config.seed,
    )
    score = session.subject.refusal_scores(session.ablation)
    prompts = audited.harmful
    scores = score([(prompt, ablated) for prompt in prompts for ablated in sets])
    return list(scores.reshape(len(prompts), len(sets)).T)
