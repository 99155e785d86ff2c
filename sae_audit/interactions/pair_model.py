"""The model all solvers fit, `y(z) = w0 + sum w_i z_i + sum_{i<j} p_ij z_i z_j`, in one coding.

z_i = 1 if feature i is ablated. Solvers may work with s = 2z - 1 and a standardised y; their results are
converted, so that all weights are nats and comparable.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

Masks = Bool[np.ndarray, "mask player"]
Scores = Float[np.ndarray, " mask"]
Pairs = Float[np.ndarray, "player player"]
Factors = tuple[float, Float[np.ndarray, " player"], Float[np.ndarray, "player rank"]]
"""A factorization machine: intercept, main effects, and a row of factors for each player."""


@dataclass(frozen=True, kw_only=True)
class PairModel:
    """A fitted pairwise model in 0/1 coding, nats."""

    intercept: float
    main: Float[np.ndarray, " player"]
    pairs: Pairs
    """Symmetric, zero diagonal; entry ij is the second difference of features i and j."""

    def predict(self, masks: Masks) -> Scores:
        z = masks.astype(np.float64)
        return self.intercept + z @ self.main + 0.5 * np.einsum("mi,ij,mj->m", z, self.pairs, z)

    def scaled(self, mean: float, deviation: float) -> "PairModel":
        """The same model of `mean + deviation * y`."""
        return PairModel(
            intercept=mean + deviation * self.intercept,
            main=deviation * self.main,
            pairs=deviation * self.pairs,
        )


def from_plus_minus(
    intercept: float,
    main: Float[np.ndarray, " player"],
    pairs: Pairs,
) -> PairModel:
    """A model in s = 2z - 1, rewritten in z.

    By `s_i s_j = 4 z_i z_j - 2 z_i - 2 z_j + 1` a pair weight counts four times and moves part of itself
    into the main effects and the intercept.
    """
    return PairModel(
        intercept=float(intercept - main.sum() + 0.5 * pairs.sum()),
        main=2.0 * main - 2.0 * pairs.sum(axis=1),
        pairs=4.0 * pairs,
    )


def from_factors(
    intercept: float,
    main: Float[np.ndarray, " player"],
    factors: Float[np.ndarray, "player rank"],
    coding: str,
) -> PairModel:
    """A factorization machine as a pair model: `p_ij = <v_i, v_j>`."""
    pairs = factors @ factors.T
    np.fill_diagonal(pairs, 0.0)
    if coding == "plus_minus":
        return from_plus_minus(intercept, main, pairs)
    return PairModel(intercept=float(intercept), main=main, pairs=pairs)


def coded(masks: Masks, coding: str) -> Float[np.ndarray, "mask player"]:
    """Masks as numbers, in `zero_one` or `plus_minus` coding."""
    z = masks.astype(np.float64)
    return 2.0 * z - 1.0 if coding == "plus_minus" else z


def pair_products(masks: Masks) -> Float[np.ndarray, "mask term"]:
    """+-1 main effects, then every pair's product, in the order of `np.triu_indices`."""
    signs = coded(masks, "plus_minus")
    first, second = np.triu_indices(masks.shape[1], k=1)
    return np.column_stack([signs, signs[:, first] * signs[:, second]])


def from_products(
    intercept: float, coefficients: Float[np.ndarray, " term"], n_players: int
) -> PairModel:
    """The pair model with these coefficients of `pair_products`."""
    pairs = np.zeros((n_players, n_players))
    first, second = np.triu_indices(n_players, k=1)
    pairs[first, second] = pairs[second, first] = coefficients[n_players:]
    return from_plus_minus(float(intercept), coefficients[:n_players], pairs)


def standardised(scores: Scores) -> tuple[Scores, float, float]:
    """Scores with mean 0 and deviation 1, and the mean and deviation that restore them.

    Constant scores come back as zeros: they occur in a fold or resample if few masks move the score, and
    the model fitted to them is then that constant.
    """
    mean, deviation = float(scores.mean()), float(scores.std())
    if deviation == 0.0:
        return np.zeros_like(scores), mean, 1.0
    return (scores - mean) / deviation, mean, deviation


def r_squared(scores: Scores, predicted: Scores) -> float:
    """`1 - sum (y - y_hat)^2 / sum (y - mean y)^2`; negative if the mean predicts better."""
    spread = float(((scores - scores.mean()) ** 2).sum())
    assert spread > 0.0, "R2 of constant scores"
    return 1.0 - float(((scores - predicted) ** 2).sum()) / spread


def check_design(masks: Any, scores: Any) -> None:
    """Assert that shapes match and scores are finite."""
    assert masks.ndim == 2, masks.shape
    assert scores.shape == (len(masks),), (scores.shape, masks.shape)
    assert np.isfinite(scores).all(), "a score is not finite"
