"""The null of cascades: the same search on the same prompts, behind one matched random set each."""

from sae_audit.cascade.null import cascade_null
from sae_audit.findings import CascadeNull
from sae_audit.findings.stages import CASCADE_NULLS, CASCADES
from sae_audit.pipeline.cascade_questions import cascade_questions, silent_act
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt

STAGE = CASCADE_NULLS


def run(state: AuditState) -> None:
    own = {found.prompt_id: found for found in state.session.found_each(CASCADES)}

    def follow(prompt: Prompt) -> CascadeNull:
        return cascade_null(
            own[prompt.id],
            cascade_questions(state, prompt),
            state.config.cascade,
            seed=state.config.seed,
            silent_act=silent_act(state),
        )

    state.session.remember_each(STAGE, state.flipped, follow)


def price(size: AuditSize) -> Work:
    """The cost of the cascades; what the random set is drawn from is read once more."""
    return size.waves(1, n_clean_readings=3)
