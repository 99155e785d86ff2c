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
    lowered = {p.id for p in state.flipped[: state.config.cascade.same_score_prompts]}

    def restored(prompt: Prompt) -> Restoration:
        return restoration(
            own[prompt.id],
            cascade_questions(state, prompt),
            state.subject.activations(prompt, state.ablation),
            minimal[prompt.id],
            state.config.cascade,
            candidates=frozenset(state.pools[prompt.id]),
            pooled=frozenset(pooled.features) if pooled else frozenset(),
            at_same_score=prompt.id in lowered,
            seed=state.config.seed,
        )

    state.session.remember_each(STAGE, state.flipped, restored)


def price(size: AuditSize) -> Work:
    settings = size.config.cascade
    lowered = min(size.audit, settings.same_score_prompts)
    # Attributions of each wave and of what is held; what activates at the same score, and its own.
    readings = size.audit * (1 + WAVES + 1) + lowered * 5
    tests = size.audit * (settings.stand_in_sets + WAVES * settings.stand_in_tests + 2)
    tests += lowered * (10 + settings.stand_in_tests)
    return Work(
        forward_passes=readings + tests,
        alone_layer_tokens=size.whole(readings),
        swept_layer_tokens=size.swept(tests),
        heads=readings,
        swept_heads=tests,
        alone_encoded=size.encoded(readings),
        assumed=f"{WAVES} waves",
    )
