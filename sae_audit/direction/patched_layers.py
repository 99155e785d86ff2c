"""Where refusal reaches the tokens behind the request, of scores with each layer's stream replaced."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.findings import Estimate, LayerPatching, PatchedLayer
from sae_audit.statistics import mean, median

Scores = Float[np.ndarray, " prompt"]
LayerScores = Float[np.ndarray, "layer prompt"]

_HALF = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchedScores:
    """Refusal scores (nats) of refused and of answered prompts, whole and patched; rows are layers."""

    clean_refused: Scores
    clean_answered: Float[np.ndarray, " answered"]
    refused: LayerScores
    """Of refused prompts, the stream replaced by the harmless mean."""
    written: LayerScores
    """Of refused prompts, only what the layer writes replaced by the harmless mean."""
    own_mean: LayerScores
    """Of refused prompts, the stream replaced by the harmful mean."""
    answered: Float[np.ndarray, "layer answered"]
    """Of answered prompts, the stream replaced by the harmful mean."""


def layer_patching(scores: PatchedScores, n_positions: int) -> LayerPatching:
    """The finding; scores of prompts that were refused and answered without a patch."""
    taken = scores.clean_refused - scores.refused
    steps = np.diff(taken.mean(axis=1), prepend=0.0)
    gone = taken[-1] > 0.0
    steepest = int(steps.argmax()) if gone.any() else None
    return LayerPatching(
        n_positions=n_positions,
        clean_refused=mean(scores.clean_refused),
        clean_answered=mean(scores.clean_answered),
        layers=tuple(
            PatchedLayer(
                layer=layer,
                refused=mean(scores.refused[layer]),
                answered=mean(scores.answered[layer]),
                written=mean(scores.written[layer]),
                own_mean=mean(scores.own_mean[layer]),
            )
            for layer in range(len(taken))
        ),
        arrival=_arrival(taken[:, gone]) if gone.any() else None,
        steepest=steepest,
        share_steepest=None if steepest is None else float(steps[steepest] / taken[-1].mean()),
        largest_write=int(scores.written.mean(axis=1).argmin()),
    )


def _arrival(taken: LayerScores) -> Estimate:
    """Median over prompts of the first layer from which on at least half of the last layer's effect is
    there: a layer that takes much for once, and the next little, is none."""
    below = taken < _HALF * taken[-1]
    first = np.where(below.any(axis=0), len(taken) - below[::-1].argmax(axis=0), 0)
    return median(first.astype(float))
