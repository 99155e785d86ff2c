"""How sure stage 1 is, and how much of what it found the SAEs show."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.controls.dictionary_coverage import dictionary_coverage, layer_coverages
from sae_audit.direction.checking import direction_check, random_directions
from sae_audit.findings import DictionaryCoverage, Direction, DirectionCheck, MinimalSet
from sae_audit.pipeline.session import Session
from sae_audit.prompts.types import LabelledPrompts
from sae_audit.record.folder import read_tensors, write_tensors

_RANDOM = "random_directions"


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
            harmful,
            harmless,
            norm=float(np.linalg.norm(vector)),
            n=session.config.controls.random_directions,
            seed=seed,
        )
        write_tensors(session.folder, _RANDOM, {"directions": randoms})
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
            progress=lambda done, total: session.progress("direction_check", done, total),
        )

    return session.remember("direction_check", "selected", DirectionCheck, compute)


def measure_coverage(
    session: Session,
    direction: Direction,
    train: LabelledPrompts,
    audited: LabelledPrompts,
    minimal_sets: Sequence[MinimalSet],
) -> DictionaryCoverage:
    """How much of what removing the direction does the candidates reach, and the SAEs show."""
    subject, seed = session.subject, session.config.seed
    found = {one.prompt_id: one for one in minimal_sets}
    refused = [found[prompt.id] for prompt in audited.harmful]

    def compute() -> DictionaryCoverage:
        directions = _with_randoms(session, direction)
        harmful, harmless = (
            subject.projections(prompts, directions, position=direction.selected.position)
            for prompts in (audited.harmful, audited.harmless)
        )
        return dictionary_coverage(
            subject.replaced_parts(audited.harmful, train.harmless, directions, session.ablation),
            len(directions) - 1,
            clean=np.array([one.score_clean for one in refused]),
            candidates=np.array([one.score_candidates for one in refused]),
            layers=layer_coverages(harmful, harmless, seed=seed),
            seed=seed,
        )

    session.progress("dictionary_coverage", 0, 1)
    coverage = session.remember("dictionary_coverage", "all", DictionaryCoverage, compute)
    session.progress("dictionary_coverage", 1, 1)
    return coverage


def _with_randoms(session: Session, direction: Direction) -> Float[np.ndarray, "direction d_model"]:
    randoms = read_tensors(session.folder, _RANDOM)["directions"]
    return np.concatenate([np.array(direction.vector)[None], randoms])
