"""The smallest ablation scale that flips each prompt."""

import math

from sae_audit.findings.stages import FLIP_SCALES
from sae_audit.minimal.flip_scale import flip_scale
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = FLIP_SCALES


def run(state: AuditState) -> None:
    own = {found.prompt_id: found for found in state.minimal_sets}
    settings = state.config.ablation_scale
    if own and settings.grid:
        state.session.remember_together(
            STAGE,
            state.refused,
            lambda p: flip_scale(own[p.id], frozenset(state.pools[p.id]), settings),
            state.scaled_scores,
        )


def price(size: AuditSize) -> Work | None:
    settings = size.config.ablation_scale
    if not settings.grid:
        return None
    halvings = math.ceil(math.log2(max(1.0 / (settings.grid * settings.tolerance), 1.0)))
    questions = float(size.audit * (settings.grid - 1 + halvings))
    return Work(
        forward_passes=questions,
        swept_layer_tokens=size.swept(questions),
        swept_heads=questions,
        assumed="every prompt is flipped by its candidates",
    )
