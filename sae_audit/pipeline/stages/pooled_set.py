"""One set built on half of the refused prompts and tested on the other half."""

import numpy as np

from sae_audit.findings.stages import POOLED_SET
from sae_audit.minimal.pooled import pooled_set
from sae_audit.pipeline.pricing import DISTINCT, SET_SIZE, AuditSize, Work
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
    state.session.remember(
        STAGE,
        lambda: pooled_set(
            {prompt.id: state.score_of(prompt) for prompt in prompts},
            state.minimal_sets,
            built_on=built_on,
            held_out=held_out,
            patience=state.config.minimal.patience,
        ),
    )


def price(size: AuditSize) -> Work:
    questions = DISTINCT * size.audit * (SET_SIZE + 1)
    return Work(
        forward_passes=questions,
        swept_layer_tokens=size.swept(questions),
        swept_heads=questions,
        assumed=f"sets of {SET_SIZE} features",
    )
