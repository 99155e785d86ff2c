"""Sparse regression on all pair products, the check on the other solvers."""

import warnings

import numpy as np
from jaxtyping import Bool, Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV

from sae_audit.interactions.pair_model import (
    Masks,
    Scores,
    check_design,
    from_products,
    pair_products,
    standardised,
)
from sae_audit.interactions.solver import Fitted, Hyperparameters

_FOLDS = 3
_SCREENED = 1500
"""Number of products on the regularization path; of more, those most correlated with the scores."""


def fit_lasso(
    masks: Masks, scores: Scores, *, seed: int, chosen: Hyperparameters | None = None
) -> Fitted:
    """Lasso on +-1 main effects and all their pair products; deterministic.

    The L1 strength is given as `chosen.l2`, or chosen over three folds. If there are too many products,
    it is chosen on those most correlated with the scores, and any product left out that violates the
    optimality condition `|x . residual| <= strength` is then added.
    """
    del seed
    check_design(masks, scores)
    y, mean, deviation = standardised(scores)
    terms = pair_products(masks)
    active = _most_correlated(terms, y)
    if chosen is None:
        with warnings.catch_warnings():
            # The smallest strengths stop early: on mostly noisy scores they would take most of the
            # time and seldom win. The chosen one is refitted to convergence.
            warnings.simplefilter("ignore", ConvergenceWarning)
            path = LassoCV(cv=_FOLDS, alphas=40, max_iter=200).fit(terms[:, active], y)
        chosen = Hyperparameters(rank=0, l2=float(path.alpha_), coding="plus_minus")
    intercept, coefficients = _completed(terms, y, active, chosen.l2)
    model = from_products(intercept, coefficients, masks.shape[1])
    return Fitted(model=model.scaled(mean, deviation), chosen=chosen)


def _most_correlated(terms: Float[np.ndarray, "mask term"], y: Scores) -> Bool[np.ndarray, " term"]:
    strength = np.abs(y @ terms)
    if len(strength) <= _SCREENED:
        return np.ones(len(strength), dtype=bool)
    return strength >= np.partition(strength, -_SCREENED)[-_SCREENED]


def _completed(
    terms: Float[np.ndarray, "mask term"], y: Scores, active: Bool[np.ndarray, " term"], l1: float
) -> tuple[float, Float[np.ndarray, " term"]]:
    while True:
        refitted = Lasso(alpha=l1, max_iter=20_000).fit(terms[:, active], y)
        residual = y - refitted.predict(terms[:, active])
        broken = ~active & (np.abs(residual @ terms) > 1.001 * l1 * len(y))
        if not broken.any():
            coefficients = np.zeros(terms.shape[1])
            coefficients[active] = refitted.coef_
            return float(refitted.intercept_), coefficients
        active = active | broken
