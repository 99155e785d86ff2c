"""The questions that a search for waves asks the model about one prompt."""

import numpy as np

from sae_audit.cascade.waves import CascadeQuestions
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt


def cascade_questions(state: AuditState, prompt: Prompt) -> CascadeQuestions:
    subject, ablation = state.subject, state.ablation
    return CascadeQuestions(
        score=state.score_of(prompt),
        active=subject.active(prompt, ablation),
        direct_attribution=subject.direct_attribution(
            prompt, np.array(state.direction.vector), ablation
        ),
        firing=subject.firing(prompt, ablation),
        intervention_score=subject.intervention_score(prompt, ablation),
        beyond_rounding=subject.beyond_rounding(prompt, ablation),
        frozen_norm_obstacle=subject.frozen_norm_obstacle,
    )


def silent_act(state: AuditState) -> bool:
    """Whether ablating an inactive feature has an effect: if the clamp is not 0."""
    return state.config.clamp != 0.0
