"""The tokens on which features activate in a cascade, compared with random sets."""

from sae_audit.cascade.activation_tokens import activated
from sae_audit.findings import ActivationTokens
from sae_audit.findings.stages import ACTIVATION_TOKENS, CASCADES
from sae_audit.pipeline.pricing import WAVES, AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt

STAGE = ACTIVATION_TOKENS


def run(state: AuditState) -> None:
    found = {one.prompt_id: one for one in state.session.found_each(CASCADES)}

    def tokens_of(prompt: Prompt) -> ActivationTokens:
        return activated(
            found[prompt.id],
            state.subject.firing(prompt, state.ablation),
            state.subject.token_classes(prompt, state.ablation),
            n_random=state.config.controls.random_sets,
            seed=state.config.seed,
        )

    state.session.remember_each(STAGE, state.flipped, tokens_of)


def price(size: AuditSize) -> Work:
    readings = size.audit * WAVES * (size.config.controls.random_sets + 1)
    return Work(
        forward_passes=readings,
        swept_layer_tokens=readings * size.tokens * size.above,
        alone_encoded=size.encoded(readings + 2 * size.audit),
        assumed=f"{WAVES} waves",
    )
