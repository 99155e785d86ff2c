"""Length of the vector that an ablation removes at the template positions, where refusal is decided.

    | sum_i (f_i(x) - clamp_i) d_i |        over the features of one layer, on the clean run

Features that fire on a prompt need not fire where the answer begins: random sets matched in how often
they fire on any token may remove next to nothing there, and then control for nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.vocabulary import FeatureId, FeatureSet, FeatureValues, TemplateActivations

Rows = Callable[[Sequence[FeatureId]], Mapping[FeatureId, Float[np.ndarray, " d_model"]]]
"""Decoder rows of features."""


class RemovedNorms:
    """Norms (in the residual stream's own units) that ablations remove from some prompts' streams, means
    over template positions."""

    def __init__(
        self,
        activations: Mapping[int, TemplateActivations],
        row_norms: Mapping[int, Float[np.ndarray, " d_sae"]],
        rows: Rows,
        clamp: float | FeatureValues,
    ) -> None:
        self._activations = activations
        self._row_norms = row_norms
        self._rows_of = rows
        self._rows: dict[FeatureId, Float[np.ndarray, " d_model"]] = {}
        self._clamp = clamp

    def of_prompts(self, numbers: Sequence[int]) -> "RemovedNorms":
        """The norms on some of the prompts alone, by their places."""
        chosen = list(numbers)
        activations = {
            layer: TemplateActivations(
                index=own.index, values=own.values[chosen], factor=own.factor[chosen]
            )
            for layer, own in self._activations.items()
        }
        found = RemovedNorms(activations, self._row_norms, self._rows_of, self._clamp)
        found._rows = self._rows
        return found

    def alone(self) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """Mean norm that ablating each feature alone removes, by layer."""
        found: dict[int, Float[np.ndarray, " d_sae"]] = {}
        for layer, own in self._activations.items():
            clamps = self._clamps(layer)
            lengths = np.abs(clamps) * float(own.factor.mean())
            fires = np.abs(own.values - clamps[own.index]) * own.factor[..., None]
            lengths[own.index] = fires.mean(axis=(0, 1))
            found[layer] = lengths * self._row_norms[layer]
        return found

    def removed(self, features: FeatureSet) -> float:
        """Mean norm that ablating the features together removes, summed over their layers."""
        return sum(self.by_layer(features).values())

    def by_layer(self, features: FeatureSet) -> dict[int, float]:
        """Mean norm that ablating the features together removes in each of their layers."""
        layers = sorted({feature.layer for feature in features})
        return {
            layer: self._of_layer([f for f in sorted(features) if f.layer == layer])
            for layer in layers
        }

    def _of_layer(self, features: Sequence[FeatureId]) -> float:
        layer = features[0].layer
        own, clamps = self._activations[layer], self._clamps(layer)
        missing = [feature for feature in features if feature not in self._rows]
        if missing:
            self._rows |= self._rows_of(missing)
        excess = np.stack([own.of(f.index) - clamps[f.index] for f in features], axis=-1)
        vectors = (excess * own.factor[..., None]) @ np.stack([self._rows[f] for f in features])
        return float(np.linalg.norm(vectors, axis=-1).mean())

    def _clamps(self, layer: int) -> Float[np.ndarray, " d_sae"]:
        width = len(self._row_norms[layer])
        if isinstance(self._clamp, float | int):
            return np.full(width, float(self._clamp))
        return np.asarray(self._clamp[layer], dtype=np.float64)
