"""Questions about firing features of one prompt and their positions under ablation and freezing."""

import numpy as np
from jaxtyping import Float

from sae_audit.prompts.types import Prompt
from sae_audit.subject.instrument_base import PLAIN, InstrumentBase
from sae_audit.subject.intervention.firing import (
    activations_on,
    active_on,
    beyond_rounding_on,
    direct_attribution_on,
    firing_on,
    intervention_score_on,
)
from sae_audit.vocabulary import (
    Ablation,
    Activations,
    Active,
    BeyondRounding,
    DirectAttribution,
    Firing,
    InterventionScore,
    TokenClass,
)


class FiringQuestions(InstrumentBase):
    """Questions about one prompt under interventions."""

    def active(self, prompt: Prompt, ablation: Ablation = PLAIN) -> Active:
        """A function from an ablated set to the features of the whole suite that fire on one prompt.

        A feature fires if its activation is above 0 at any position at which `ablation` acts.
        """
        return active_on(self._streams(prompt, ablation))

    def beyond_rounding(self, prompt: Prompt, ablation: Ablation = PLAIN) -> BeyondRounding:
        """A function that tells whether features fire by more than rounding in the model's dtype."""
        return beyond_rounding_on(self._streams(prompt, ablation), self._passes.model.dtype)

    def direct_attribution(
        self, prompt: Prompt, direction: Float[np.ndarray, " d_model"], ablation: Ablation = PLAIN
    ) -> DirectAttribution:
        """A function that gives features' direct attribution along `direction` on this prompt."""
        return direct_attribution_on(self._streams(prompt, ablation), direction)

    def activations(self, prompt: Prompt, ablation: Ablation = PLAIN) -> Activations:
        """A function that gives features' activations, position by position, under interventions.

        Layers below the first changed one come from the remembered clean run, layers above the highest
        feature asked for are not run, and interventions share batches.
        """
        return activations_on(self._streams(prompt, ablation))

    def firing(self, prompt: Prompt, ablation: Ablation = PLAIN) -> Firing:
        """A function that gives the firing features of the whole suite and their positions."""
        return firing_on(self._streams(prompt, ablation))

    def intervention_score(self, prompt: Prompt, ablation: Ablation = PLAIN) -> InterventionScore:
        """A function that gives the refusal score with some features ablated and others frozen.

        The final norm's scale is live or frozen at the clean run's.

        Raises:
            AuditError: raised by the function if the norm is to be frozen and cannot be
                (see `frozen_norm_obstacle`).
        """
        end = self._runs.of(self._interventions.ids(prompt)).resid[-1][-1]
        return intervention_score_on(
            self._streams(prompt, ablation), self._stack, end, self.readout
        )

    @property
    def frozen_norm_obstacle(self) -> str:
        """The reason why the final norm's scale cannot be frozen; empty if it can."""
        return self._stack.frozen_norm_obstacle

    def token_classes(self, prompt: Prompt, ablation: Ablation = PLAIN) -> dict[int, TokenClass]:
        """Class in the chat template of each token at which `ablation` acts, by position."""
        ids = self.template.tokens(prompt.text)
        selected = self.template.selected(ids, ablation.positions).tolist()
        return {i: one for i, one in enumerate(self.template.classes(ids)) if selected[i]}
