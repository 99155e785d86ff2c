"""The null of cascades: the same search on the same prompts, behind one matched random set each."""

from sae_audit.cascade.by_chance import cascade_by_chance
from sae_audit.findings import CascadeByChance
from sae_audit.findings.stages import CASCADES, CASCADES_BY_CHANCE
from sae_audit.pipeline.cascade_questions import questions, silent_act
from sae_audit.pipeline.pricing import Scale, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt

STAGE = CASCADES_BY_CHANCE


def run(state: AuditState) -> None:
    own = {found.prompt_id: found for found in state.session.found_each(CASCADES)}

    def follow(prompt: Prompt) -> CascadeByChance:
        return cascade_by_chance(
            own[prompt.id],
            questions(state, prompt),
            state.config.cascade,
            seed=state.config.seed,
            silent_act=silent_act(state),
        )

    state.session.remember_each(STAGE, state.flipped, follow)


def price(scale: Scale) -> Work:
    """The same search; what the random set is drawn from is read once more."""
    return scale.waves(1, n_clean_readings=3)
