"""The tokens on which the features of a cascade wake, and on which random ones do."""

from sae_audit.cascade.waking import waking
from sae_audit.findings import Waking
from sae_audit.findings.stages import CASCADES, WAKING
from sae_audit.pipeline.pricing import WAVES, Scale, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt

STAGE = WAKING


def run(state: AuditState) -> None:
    found = {one.prompt_id: one for one in state.session.found_each(CASCADES)}

    def waking_of(prompt: Prompt) -> Waking:
        return waking(
            found[prompt.id],
            state.subject.firing(prompt, state.ablation),
            state.subject.token_classes(prompt, state.ablation),
            n_random=state.config.controls.random_sets,
            seed=state.config.seed,
        )

    state.session.remember_each(STAGE, state.flipped, waking_of)


def price(scale: Scale) -> Work:
    readings = scale.audit * WAVES * (scale.config.controls.random_sets + 1)
    return Work(
        forward_passes=readings,
        swept_layer_tokens=readings * scale.tokens * scale.above,
        alone_encoded=scale.encoded(readings + 2 * scale.audit),
        assumed=f"{WAVES} waves",
    )
