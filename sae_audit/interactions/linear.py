"""Main effects alone, the baseline for pairs."""

import numpy as np
from sklearn.linear_model import RidgeCV

from sae_audit.interactions.pair_model import (
    Masks,
    PairModel,
    Scores,
    check_design,
    coded,
    standardised,
)
from sae_audit.interactions.solver import Fitted, Hyperparameters

_L2 = np.logspace(-3, 3, 13)


def fit_linear(
    masks: Masks, scores: Scores, *, seed: int, chosen: Hyperparameters | None = None
) -> Fitted:
    """Ridge regression on main effects; all pair weights are zero. Deterministic.

    `chosen` is not used, since choosing the L2 strength again is cheap (leave-one-out in closed form).
    """
    del seed, chosen
    check_design(masks, scores)
    y, mean, deviation = standardised(scores)
    ridge = RidgeCV(alphas=_L2).fit(coded(masks, "zero_one"), y)
    n = masks.shape[1]
    model = PairModel(
        intercept=float(ridge.intercept_), main=np.asarray(ridge.coef_), pairs=np.zeros((n, n))
    )
    return Fitted(
        model=model.scaled(mean, deviation),
        chosen=Hyperparameters(rank=0, l2=0.0, coding="zero_one"),
    )
