"""What fires on one prompt, and where, while features are ablated or held."""

import numpy as np
from jaxtyping import Float

from sae_audit.prompts.types import Prompt
from sae_audit.subject.instrument_base import PLAIN, InstrumentBase
from sae_audit.subject.intervention.firing import (
    activations_on,
    active_on,
    direct_attribution_on,
    firing_on,
    held_score_on,
)
from sae_audit.vocabulary import (
    Ablation,
    Activations,
    Active,
    DirectAttribution,
    Firing,
    HeldScore,
    TokenClass,
)


class FiringQuestions(InstrumentBase):
    """Questions about one prompt under interventions."""

    def active(self, prompt: Prompt, ablation: Ablation = PLAIN) -> Active:
        """Which features of the whole suite fire on one prompt while a set is ablated.

        A feature fires if its activation is above 0 at any position at which `ablation` acts.
        """
        return active_on(self._streams(prompt, ablation))

    def direct_attribution(
        self, prompt: Prompt, direction: Float[np.ndarray, " d_model"], ablation: Ablation = PLAIN
    ) -> DirectAttribution:
        """How strongly features push this prompt's stream along `direction`."""
        return direct_attribution_on(self._streams(prompt, ablation), direction)

    def activations(self, prompt: Prompt, ablation: Ablation = PLAIN) -> Activations:
        """How strongly asked features fire, position by position, under interventions.

        Layers below the first one changed are the remembered clean run's, those above the highest
        feature asked for are not run, and interventions share batches.
        """
        return activations_on(self._streams(prompt, ablation))

    def firing(self, prompt: Prompt, ablation: Ablation = PLAIN) -> Firing:
        """Every firing feature of the whole suite and the positions it fires at."""
        return firing_on(self._streams(prompt, ablation))

    def held_score(self, prompt: Prompt, ablation: Ablation = PLAIN) -> HeldScore:
        """The refusal score with some features ablated and others held at their clean values,
        the final norm's scale live or frozen to the clean run's.

        Raises:
            AuditError: when called, a frozen norm in a model whose final norm has another form
                (see `frozen_norm_obstacle`).
        """
        end = self._runs.of(self._interventions.ids(prompt)).resid[-1][-1]
        return held_score_on(self._streams(prompt, ablation), self._stack, end, self.readout)

    @property
    def frozen_norm_obstacle(self) -> str:
        """Why the final norm's scale cannot be frozen; empty where it can."""
        return self._stack.frozen_norm_obstacle

    def token_classes(self, prompt: Prompt, ablation: Ablation = PLAIN) -> dict[int, TokenClass]:
        """Where in the chat template the prompt's tokens stand, by position: those at which
        `ablation` acts."""
        ids = self.template.tokens(prompt.text)
        selected = self.template.selected(ids, ablation.positions).tolist()
        return {i: one for i, one in enumerate(self.template.classes(ids)) if selected[i]}
