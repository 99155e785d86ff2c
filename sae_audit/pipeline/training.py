"""Features that fire on the training prompts: read once per session, charged once per run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.controls.linear_probe import probe_ranking
from sae_audit.prompts.types import LabelledPrompts
from sae_audit.subject import Subject
from sae_audit.subject.model.cost import CostMeter
from sae_audit.vocabulary import FeatureId, TemplateActivations


@dataclass(frozen=True, kw_only=True)
class TrainingFeatures:
    """Firing rates, probe ranking and activations, from which baselines are drawn."""

    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]]
    """By layer, the share of harmful training prompts that each feature fires on."""
    harmless_rates: Mapping[int, Float[np.ndarray, " d_sae"]]
    """The same of the harmless ones."""
    probe: Sequence[FeatureId]
    """Features by falling weight towards "harmful" in a linear probe."""
    harmful_ends: Mapping[int, TemplateActivations]
    """By layer, activations at the template positions of the harmful prompts."""
    harmless_ends: Mapping[int, TemplateActivations]


class Training:
    """The training prompts of an audit, read when their features are first asked for.

    One piece of work is charged for it; a resumed run reads again at no charge, so that a stage's cost
    does not depend on where a run was stopped.
    """

    def __init__(self, subject: Subject, prompts: LabelledPrompts) -> None:
        self._subject, self._prompts = subject, prompts
        self._read: TrainingFeatures | None = None
        self._owed: CostMeter | None = None

    def features(self) -> TrainingFeatures:
        """The features, at no charge."""
        if self._read is None:
            with self._subject.uncharged():
                before = self._subject.cost
                self._read = self._features()
                self._owed = self._subject.cost.since(before)
        return self._read

    def features_charged(self) -> TrainingFeatures:
        """The features, charged: for the piece of work that pays for them in every audit, whether they
        were read before it or not."""
        if self._read is None:
            self._read = self._features()
        elif self._owed is not None:
            self._subject.charge(self._owed)
            self._owed = None
        return self._read

    def _features(self) -> TrainingFeatures:
        harmful, harmful_ends = self._subject.peaks_and_ends(self._prompts.harmful)
        harmless, harmless_ends = self._subject.peaks_and_ends(self._prompts.harmless)
        return TrainingFeatures(
            firing_rates=_rates(harmful),
            harmless_rates=_rates(harmless),
            probe=probe_ranking(harmful, harmless),
            harmful_ends=harmful_ends,
            harmless_ends=harmless_ends,
        )


def _rates(
    peaks: Mapping[int, Float[np.ndarray, "prompt d_sae"]],
) -> dict[int, Float[np.ndarray, " d_sae"]]:
    return {layer: (own > 0.0).mean(axis=0) for layer, own in peaks.items()}
