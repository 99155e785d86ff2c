"""Where single features fire on the audit prompts: one clean run a prompt."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from sae_audit.findings import ActivationCounts, CategoryFiring, Estimate, FiringPrompt
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Label
from sae_audit.statistics import share
from sae_audit.vocabulary import Ablation, FeatureId, Intervention, TokenClass

_BINS = 8
_TOP = 8


class FeatureFiring:
    """Activations of some features on all audit prompts, refused or not."""

    def __init__(self, state: AuditState, features: Sequence[FeatureId]) -> None:
        self._prompts = list(state.inputs.splits.audit)
        at = Ablation(positions=state.config.positions)
        peaks: list[Float[np.ndarray, " feature"]] = []
        places: list[Int[np.ndarray, " feature"]] = []
        self._classes: list[list[TokenClass]] = []
        for prompt in self._prompts:
            own = state.subject.activations(prompt, at)([Intervention()], features)[0]
            peaks.append(own.max(axis=1))
            places.append(own.argmax(axis=1))
            self._classes.append(list(state.subject.token_classes(prompt).values()))
        self._peaks, self._places = np.stack(peaks), np.stack(places)
        self._harmful = np.array([prompt.label is Label.HARMFUL for prompt in self._prompts])

    def shares(self, feature: int) -> tuple[Estimate, Estimate]:
        """Shares of harmful and of harmless prompts on which it fires; `feature` by number."""
        fires = self._peaks[:, feature] > 0.0
        harmful, harmless = fires[self._harmful], fires[~self._harmful]
        return share(int(harmful.sum()), harmful.size), share(int(harmless.sum()), harmless.size)

    def counts(self, feature: int) -> ActivationCounts:
        own = self._peaks[:, feature]
        largest = float(own.max())
        harmful, harmless = (
            np.histogram(own[chosen & (own > 0.0)], _BINS, (0.0, largest or 1.0))[0].tolist()
            for chosen in (self._harmful, ~self._harmful)
        )
        return ActivationCounts(largest=largest, harmful=tuple(harmful), harmless=tuple(harmless))

    def categories(self, feature: int) -> tuple[CategoryFiring, ...]:
        named = sorted(
            {(p.label.value, p.category) for p in self._prompts if p.category},
        )
        found: list[CategoryFiring] = []
        for label, category in named:
            own = [
                self._peaks[i, feature] > 0.0
                for i, p in enumerate(self._prompts)
                if (p.label.value, p.category) == (label, category)
            ]
            found.append(
                CategoryFiring(label=label, category=category, n=len(own), n_firing=int(sum(own)))
            )
        return tuple(found)

    def top(self, feature: int) -> tuple[FiringPrompt, ...]:
        """The prompts on which it fires most, strongest first."""
        own = self._peaks[:, feature]
        order = [i for i in np.argsort(-own, kind="stable")[:_TOP].tolist() if own[i] > 0.0]
        return tuple(
            FiringPrompt(
                prompt_id=self._prompts[i].id,
                activation=float(own[i]),
                position=(place := int(self._places[i, feature])),
                n_tokens=len(self._classes[i]),
                token=self._classes[i][place],
            )
            for i in order
        )
