"""Shares of the direction's effect that the candidates reach and that the SAEs represent."""

import numpy as np
from jaxtyping import Float

from sae_audit.controls.sae_coverage import layer_coverages, sae_coverage
from sae_audit.findings import NullKind, SaeCoverage
from sae_audit.findings.stages import RANDOM_DIRECTIONS, SAE_COVERAGE
from sae_audit.pipeline.pricing import DISTINCT, AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.record.tensors import read_tensors
from sae_audit.sampling import enough_left, matched_random_sets
from sae_audit.subject.saes.null_dictionary import null_suite
from sae_audit.vocabulary import Part

STAGE = SAE_COVERAGE

_ROTATED = 3
"""Number of rotated dictionaries that the SAEs' share is compared with."""


def run(state: AuditState) -> None:
    subject, seed, audited = state.subject, state.config.seed, state.audited
    direction = state.direction
    found = {one.prompt_id: one for one in state.minimal_sets}
    refused = [found[prompt.id] for prompt in audited.harmful]

    def compute() -> SaeCoverage:
        randoms = read_tensors(state.session.folder, RANDOM_DIRECTIONS)["directions"]
        directions = np.concatenate([np.array(direction.vector)[None], randoms])
        harmful, harmless = (
            subject.projections(prompts, directions, position=direction.selected.position)
            for prompts in (audited.harmful, audited.harmless)
        )
        return sae_coverage(
            subject.replaced_parts(
                audited.harmful, state.prompts.train.harmless, directions, state.ablation
            ),
            len(randoms),
            clean=np.array([one.clean_score for one in refused]),
            candidates=np.array([one.candidates_score for one in refused]),
            random_sets=_random_set_scores(state),
            rotated=[_rotated_scores(state, number) for number in range(_ROTATED)],
            layers=layer_coverages(
                harmful,
                harmless,
                subject.decoder_cosines(directions),
                per_layer=state.candidates.per_layer,
                seed=seed,
            ),
        )

    state.session.remember(STAGE, compute)


def _rotated_scores(state: AuditState, number: int) -> Float[np.ndarray, " prompt"]:
    """Scores (nats) of refused prompts with a rotated dictionary's part of the direction replaced."""
    direction = np.array(state.direction.vector)
    suite = null_suite(
        state.subject.suite, NullKind.ROTATED, direction, seed=(state.config.seed, number)
    )
    rotated = state.with_saes(suite).subject
    replaced = rotated.replaced_parts(
        state.audited.harmful, state.prompts.train.harmless, direction[None], state.ablation
    )
    return replaced(Part.RECONSTRUCTION, 0)


def _random_set_scores(state: AuditState) -> list[Float[np.ndarray, " prompt"]]:
    """Scores (nats) of refused prompts with random features in place of all candidates, set by set."""
    rates = state.training.features().firing_rates
    pool = frozenset(state.candidates.ranked)
    if not enough_left(pool, rates):
        return []
    sets = matched_random_sets(
        pool,
        rates,
        excluded=pool,
        n_sets=state.config.controls.random_sets,
        seed=state.config.seed,
    )
    questions = [(prompt, ablated) for prompt in state.refused for ablated in sets]
    scores = state.refusal_scores()(questions)
    return list(scores.reshape(len(state.refused), len(sets)).T)


def price(size: AuditSize) -> Work:
    # Harmful prompts are read twice, harmless ones for their place and for their mean; the
    # reconstruction is replaced in one pass, whole parts of a direction in two for each.
    readings = 3 * size.audit + size.train + _ROTATED * (size.audit + size.train)
    replaced = size.audit * (3 + _ROTATED + 2 * size.config.controls.random_directions)
    questions = DISTINCT * size.audit * size.config.controls.random_sets
    return Work(
        forward_passes=readings + replaced + questions,
        layer_tokens=size.whole(readings + replaced),
        swept_layer_tokens=size.swept(questions),
        heads=readings + replaced,
        swept_heads=questions,
        encoded=size.encoded(2 * (readings + (1 + _ROTATED) * size.audit)),
    )
