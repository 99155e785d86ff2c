"""Held-out masks: R2 of every model on the same resamples of them."""

import numpy as np
from jaxtyping import Float

from sae_audit.findings import Estimate
from sae_audit.interactions.pair_model import Scores, r_squared
from sae_audit.statistics import between_quantiles

_RESAMPLES = 4000
_NO_SPREAD = 1e-9
"""Share of all scores' spread; a resample with less has equal scores up to rounding."""


class HeldOut:
    """Scores of masks on which nothing was fitted or chosen.

    Masks are drawn independently, so they are the bootstrap's cases. Resamples whose scores are all
    equal have no R2 and are left out; they occur if few masks move the score.
    """

    def __init__(self, scores: Scores, *, seed: int) -> None:
        n = len(scores)
        centred = scores - scores.mean()
        times = np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1.0 / n), _RESAMPLES)
        times = times.astype(np.float64)
        spread = times @ centred**2 - (times @ centred) ** 2 / n
        varies = spread > _NO_SPREAD * float((centred**2).sum())
        assert varies.any(), "R2 of constant scores"
        self._scores = scores
        self._times: Float[np.ndarray, "draw mask"] = times[varies]
        self._spread: Float[np.ndarray, " draw"] = spread[varies]

    def r2(self, predicted: Scores) -> Estimate:
        """R2 of the predictions, with a bootstrap 95% interval over masks."""
        return self._estimate(r_squared(self._scores, predicted), self._resampled(predicted))

    def gain(self, predicted: Scores, reference: Scores) -> Estimate:
        """R2 of the predictions minus that of `reference`, resampled together."""
        value = r_squared(self._scores, predicted) - r_squared(self._scores, reference)
        return self._estimate(value, self._resampled(predicted) - self._resampled(reference))

    def _resampled(self, predicted: Scores) -> Float[np.ndarray, " draw"]:
        return 1.0 - self._times @ (self._scores - predicted) ** 2 / self._spread

    def _estimate(self, value: float, resampled: Float[np.ndarray, " draw"]) -> Estimate:
        return between_quantiles(value, resampled, n=len(self._scores))
