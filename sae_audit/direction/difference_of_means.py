"""The refusal direction as a difference of means (2406.11717).

1. Mean `resid_post` of harmful and of harmless training prompts, at every layer and template
   position; only prompts that the model treats as labelled.
2. Their difference is one candidate direction per layer and position.
3. Each is tried on validation prompts: projected out (bypass, KL), added (induce).
4. The one with the lowest bypass that passes the filters is chosen.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sae_audit.config import DirectionSettings
from sae_audit.direction.selection import select_direction
from sae_audit.findings import Direction, DirectionEvaluation, NearestDirection, NoDirection

Means = Float[np.ndarray, "layer template d_model"]


@runtime_checkable
class Effect(Protocol):
    """What projecting a direction out, or adding it, does to the validation prompts."""

    def __call__(
        self, direction: Float[np.ndarray, " d_model"], *, position: int, layer: int
    ) -> DirectionEvaluation: ...


def difference_of_means(
    harmful: Means,
    harmless: Means,
    effect: Effect,
    settings: DirectionSettings,
    *,
    clean: tuple[float, float],
    n_train: tuple[int, int],
    n_validation: tuple[int, int],
    progress: Callable[[int, int], None],
) -> Direction | NoDirection:
    """Evaluate every candidate direction and choose one, or none where none passes the filters.

    `clean` holds the mean refusal scores (nats) of the harmful and the harmless validation prompts
    without intervention. `progress(done, of)` is called after each candidate.
    """
    differences = harmful - harmless
    n_layers, n_positions, _ = differences.shape
    evaluations: list[DirectionEvaluation] = []
    for layer in range(n_layers):
        for place in range(n_positions):
            evaluations.append(
                effect(differences[layer, place], position=place - n_positions, layer=layer)
            )
            progress(len(evaluations), n_layers * n_positions)
    selected = select_direction(
        evaluations,
        n_layers,
        kl_limit=settings.kl_limit,
        induce_floor=settings.induce_floor,
        layer_cut=settings.layer_cut,
    )
    if isinstance(selected, NearestDirection):
        return NoDirection(
            method="difference_of_means",
            nearest=selected,
            evaluations=tuple(evaluations),
            clean_harmful=clean[0],
            clean_harmless=clean[1],
            n_train=n_train,
            n_validation=n_validation,
        )
    return Direction(
        method="difference_of_means",
        selected=selected,
        evaluations=tuple(evaluations),
        vector=tuple(differences[selected.layer, selected.position].tolist()),
        clean_harmful=clean[0],
        clean_harmless=clean[1],
        n_train=n_train,
        n_validation=n_validation,
    )
