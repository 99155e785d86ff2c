"""One set built on half of the refused prompts and tested on the other half."""

from collections.abc import Sequence

import numpy as np

from sae_audit.findings import MinimalSet, PooledSet, PooledWithoutLimits
from sae_audit.findings.stages import POOLED_SET, UNLIMITED_SETS
from sae_audit.minimal.limited import Limits
from sae_audit.minimal.pooled import Pooled, pooled_set
from sae_audit.pipeline.pricing import DISTINCT, SET_SIZE, AuditSize, Work
from sae_audit.pipeline.side_effects import HarmlessChanges, changes_price
from sae_audit.pipeline.state import AuditState

STAGE = POOLED_SET


def run(state: AuditState) -> None:
    """Record the set; nothing if no building prompt was flipped, or there is no other half."""
    prompts = state.refused
    order = np.random.default_rng(state.config.seed).permutation(len(prompts))
    half = (len(prompts) + 1) // 2
    built_on = [prompts[i].id for i in order[:half]]
    held_out = [prompts[i].id for i in order[half:]]
    if not held_out or state.flipping.keys().isdisjoint(built_on):
        return
    session = state.session
    unlimited = session.found_each(UNLIMITED_SETS)

    def compute() -> PooledSet:
        changes = HarmlessChanges(state)
        scores = {prompt.id: state.score_of(prompt) for prompt in prompts}

        def search(sets: Sequence[MinimalSet], limits: Limits | None) -> Pooled:
            return pooled_set(
                scores,
                sets,
                built_on=built_on,
                held_out=held_out,
                patience=state.config.minimal.patience,
                limits=limits,
            )

        without = search(unlimited, None)
        found = search(state.minimal_sets, changes.limits)
        return PooledSet(
            features=tuple(sorted(found.features)),
            built_on=tuple(built_on),
            held_out=tuple(held_out),
            flipped_built=found.flipped_built,
            flipped_held_out=found.flipped_held_out,
            share_without=found.share_without,
            n_sets_scored=found.n_sets_scored,
            side_effects=changes.measured(found.features),
            excluded=found.excluded,
            without_limits=None
            if without.features == found.features
            else PooledWithoutLimits(
                features=tuple(sorted(without.features)),
                flipped_built=without.flipped_built,
                flipped_held_out=without.flipped_held_out,
                side_effects=changes.measured(without.features),
            ),
        )

    session.remember(STAGE, compute)


def price(size: AuditSize) -> Work:
    # The search is made with and without limits.
    questions = 2 * DISTINCT * size.audit * (SET_SIZE + 1)
    changes, answered = changes_price(size, 1), 2 * size.config.side_effects.prompts
    return Work(
        forward_passes=questions + changes.forward_passes + answered,
        alone_layer_tokens=changes.alone_layer_tokens + size.whole(answered),
        swept_layer_tokens=size.swept(questions) + changes.swept_layer_tokens,
        swept_heads=questions + changes.swept_heads,
        assumed=f"sets of {SET_SIZE} features",
    )
