"""Set functions with known answers: what a stage is shown instead of a model."""

from collections.abc import Callable, Sequence

import numpy as np

from sae_audit.vocabulary import FeatureId, FeatureSet, Score


def features(n: int, layer: int = 0) -> list[FeatureId]:
    return [FeatureId(layer, i) for i in range(n)]


def game(value: Callable[[FeatureSet], float]) -> Score:
    """A score from the value of one set."""

    def score(sets: Sequence[FeatureSet]) -> np.ndarray:
        return np.array([float(value(ablated)) for ablated in sets])

    return score


def needs(*required: FeatureId, clean: float = 3.0, flipped: float = -1.0) -> Score:
    """Flips when all of `required` are ablated, and only then."""
    return game(lambda ablated: flipped if set(required) <= ablated else clean)
