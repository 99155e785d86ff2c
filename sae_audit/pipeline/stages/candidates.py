"""Candidate features: by cosine with the direction, or by estimated effect of ablation.

How many of each layer is a setting, or chosen among several by the flips of validation prompts.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sae_audit.errors import AuditError
from sae_audit.findings import CandidateSet, TriedPerLayer
from sae_audit.findings.stages import CANDIDATES
from sae_audit.margins import answers
from sae_audit.pipeline.pools import candidate_sets
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.statistics import share

STAGE = CANDIDATES


def run(state: AuditState) -> None:
    settings = state.config.candidates

    def compute() -> CandidateSet:
        if isinstance(settings.per_layer, int):
            (only,) = candidate_sets(state, [settings.per_layer])
            return only
        return _flipping_most(state, candidate_sets(state, sorted(set(settings.per_layer))))

    state.session.remember(STAGE, compute)


def _flipping_most(state: AuditState, sets: Sequence[CandidateSet]) -> CandidateSet:
    """The first set that flips most validation prompts, with what each of them flips."""
    prompts = state.prompts.validation.harmful
    if not prompts:
        raise AuditError(
            "No validation prompt is refused, so candidates.per_layer cannot be chosen by flips; give "
            "one number: --set candidates.per_layer=16."
        )
    ablated = [frozenset(one.ranked) for one in sets]
    scores = state.refusal_scores()([(prompt, one) for prompt in prompts for one in ablated])
    flipped = answers(scores.reshape(len(prompts), len(sets))).sum(axis=0)
    tried = tuple(
        TriedPerLayer(per_layer=one.per_layer, flipped=share(int(n), len(prompts)))
        for one, n in zip(sets, flipped, strict=True)
    )
    return replace(sets[int(np.argmax(flipped))], tried=tried)


def price(size: AuditSize) -> Work:
    settings = size.config.candidates
    chosen = (
        Work(forward_passes=0, encoded=float(size.features))
        if settings.method == "cosine"
        else size.attribution(size.train)
    )
    if isinstance(settings.per_layer, int):
        return chosen
    questions = size.validation * len(set(settings.per_layer))
    return replace(
        chosen,
        forward_passes=chosen.forward_passes + questions,
        swept_layer_tokens=chosen.swept_layer_tokens + size.swept(questions),
        swept_heads=chosen.swept_heads + questions,
        assumed="the largest of candidates.per_layer is taken, in later stages too",
    )
