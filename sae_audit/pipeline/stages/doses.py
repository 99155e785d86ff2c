"""How far each prompt's features must be ablated to flip it."""

import math

from sae_audit.findings.stages import DOSES
from sae_audit.minimal.dose import flip_dose
from sae_audit.pipeline.pricing import Scale, Work
from sae_audit.pipeline.state import AuditState

STAGE = DOSES


def run(state: AuditState) -> None:
    own = {found.prompt_id: found for found in state.minimal_sets}
    settings = state.config.dose
    if own and settings.grid:
        state.session.remember_together(
            STAGE,
            state.refused,
            lambda p: flip_dose(own[p.id], frozenset(state.pools[p.id]), settings),
            state.dosed_scores,
        )


def price(scale: Scale) -> Work | None:
    settings = scale.config.dose
    if not settings.grid:
        return None
    halvings = math.ceil(math.log2(max(1.0 / (settings.grid * settings.tolerance), 1.0)))
    questions = float(scale.audit * (settings.grid - 1 + halvings))
    return Work(
        forward_passes=questions,
        swept_layer_tokens=scale.swept(questions),
        swept_heads=questions,
        assumed="every prompt is flipped by its candidates",
    )
