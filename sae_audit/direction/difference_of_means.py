"""The refusal direction as a difference of means (2406.11717).

1. Mean `resid_post` of harmful and of harmless training prompts, at every layer and template
   position; only prompts that the model treats as labelled.
2. Their difference is one candidate direction per layer and position.
3. They are tried on validation prompts: projected out (bypass, KL), added (induce); each on as many
   as it takes to know which one is chosen (`asking`).
4. The one with the lowest bypass that passes the filters is chosen.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from sae_audit.config import DirectionSettings
from sae_audit.direction.asking import ask_until_decided
from sae_audit.direction.standing import Standing
from sae_audit.findings import Direction, NearestDirection, NoDirection
from sae_audit.vocabulary import CandidateEffects

Means = Float[np.ndarray, "layer template d_model"]


def difference_of_means(
    harmful: Means,
    harmless: Means,
    effects: CandidateEffects,
    settings: DirectionSettings,
    *,
    clean: tuple[float, float],
    n_train: tuple[int, int],
    n_validation: tuple[int, int],
    progress: Callable[[int, int], None],
) -> Direction | NoDirection:
    """The candidate direction that is chosen, or how near the nearest comes if none passes the filters.

    `clean` holds the mean refusal scores (nats) of the harmful and the harmless validation prompts
    without intervention. `progress(settled, of)` is told of how many candidates it is settled that
    they are, or are not, chosen.
    """
    differences = harmful - harmless
    n_layers, n_positions, _ = differences.shape
    places = [(layer, place) for layer in range(n_layers) for place in range(n_positions)]
    standing = Standing(
        np.stack([differences[place] for place in places]),
        [layer for layer, _ in places],
        [place - n_positions for _, place in places],
        n_layers=n_layers,
        effects=effects,
        settings=settings,
    )
    ask_until_decided(standing, progress)
    selected, evaluations = standing.selected(), tuple(standing.evaluations())
    if isinstance(selected, NearestDirection):
        return NoDirection(
            method="difference_of_means",
            nearest=selected,
            evaluations=evaluations,
            stopped=tuple(standing.stopped()),
            clean_harmful=clean[0],
            clean_harmless=clean[1],
            n_train=n_train,
            n_validation=n_validation,
        )
    return Direction(
        method="difference_of_means",
        selected=selected,
        evaluations=evaluations,
        stopped=tuple(standing.stopped()),
        vector=tuple(differences[selected.layer, selected.position].tolist()),
        clean_harmful=clean[0],
        clean_harmless=clean[1],
        n_train=n_train,
        n_validation=n_validation,
    )
