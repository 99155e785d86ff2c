"""Candidate features: by cosine with the direction, or by estimated effect of ablation.

How many of each layer is a setting, or chosen among several by the flips of validation prompts. Cosine
with a direction that does not remove refusal, or not cleanly, says little about what carries it;
candidates are then ranked by estimated effect, and the finding says so.
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
            return some(only)
        return _flipping_most(state, candidate_sets(state, sorted(set(settings.per_layer))))

    state.session.remember(STAGE, compute)


def some(found: CandidateSet) -> CandidateSet:
    """The candidates.

    Raises:
        AuditError: there is none, because the settings leave out every feature.
    """
    if not found.candidates and found.left_out:
        raise AuditError(
            f"No feature is left to search: {found.left_out:,} fire on more harmless training prompts "
            "than candidates.max_harmless_rate allows; raise it."
        )
    return found


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
    return some(replace(sets[int(np.argmax(flipped))], tried=tried))


def price(size: AuditSize) -> Work:
    settings = size.config.candidates
    attributed = size.attribution(size.train)
    # The clean runs on which the gradients are taken, whose tokens it counts already.
    passes = attributed.forward_passes + size.train
    attributed = replace(attributed, forward_passes=passes)
    if settings.method != "cosine":
        return _with_choice(attributed, size)
    return _with_choice(
        Work(
            forward_passes=0,
            encoded=float(size.features),
            most=attributed,
            assumed="a direction that is clean and not weak; else by estimated effect",
        ),
        size,
    )


def _with_choice(work: Work, size: AuditSize) -> Work:
    """The work, with that of choosing among several numbers per layer."""
    per_layer = size.config.candidates.per_layer
    if isinstance(per_layer, int):
        return work
    questions = size.validation * len(set(per_layer))
    return replace(
        work,
        forward_passes=work.forward_passes + questions,
        swept_layer_tokens=work.swept_layer_tokens + size.swept(questions),
        swept_heads=work.swept_heads + questions,
        most=None if work.most is None else _with_choice(work.most, size),
        assumed="; ".join(
            filter(None, (work.assumed, "the largest of candidates.per_layer is taken throughout"))
        ),
    )
