"""Whether the dormant features that activate restore refusal, against what others do at the same state
and at the same score."""

from sae_audit.cascade.restoration import restoration
from sae_audit.findings import Restoration
from sae_audit.findings.stages import CASCADES, POOLED_SET, RESTORATIONS
from sae_audit.pipeline.cascade_questions import cascade_questions
from sae_audit.pipeline.pricing import WAVES, AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt

STAGE = RESTORATIONS


def run(state: AuditState) -> None:
    own = {found.prompt_id: found for found in state.session.found_each(CASCADES)}
    minimal, pooled = state.flipping, state.session.if_found(POOLED_SET)

    def restored(prompt: Prompt) -> Restoration:
        return restoration(
            own[prompt.id],
            cascade_questions(state, prompt),
            state.subject.activations(prompt, state.ablation),
            minimal[prompt.id],
            state.config.cascade,
            pooled=frozenset(pooled.features) if pooled else frozenset(),
            seed=state.config.seed,
        )

    state.session.remember_each(STAGE, state.flipped, restored)


def price(size: AuditSize) -> Work:
    settings = size.config.cascade
    # Each wave's features active all along, read twice; what activates at the same score, four times.
    readings = size.audit * (2 * WAVES + 6)
    tests = size.audit * (
        settings.stand_in_sets + (WAVES + 1) * settings.stand_in_tests + 21 + 1 + 2
    )
    return Work(
        forward_passes=readings + tests,
        alone_layer_tokens=size.whole(readings),
        swept_layer_tokens=size.swept(tests),
        heads=readings,
        swept_heads=tests,
        alone_encoded=size.encoded(readings),
        assumed=f"{WAVES} waves",
    )
