"""Sparse regression on all pair products: the check on the factorization machines."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV, RidgeCV

from sae_audit.interactions.pair_model import (
    Masks,
    PairModel,
    Scores,
    check_design,
    coded,
    from_plus_minus,
    standardised,
)

_FOLDS = 3


@dataclass(frozen=True, kw_only=True)
class LassoFit:
    model: PairModel
    alpha: float
    """L1 strength on standardised scores, chosen over three folds."""


def fit_lasso(masks: Masks, scores: Scores) -> LassoFit:
    """Lasso on +-1 main effects and all their pair products."""
    check_design(masks, scores)
    y, mean, deviation = standardised(scores)
    with warnings.catch_warnings():
        # The smallest strengths of the path may stop short; the chosen one is refitted.
        warnings.simplefilter("ignore", ConvergenceWarning)
        path = LassoCV(cv=_FOLDS, alphas=40, max_iter=2000).fit(_products(masks), y)
    alpha = float(path.alpha_)
    refitted = Lasso(alpha=alpha, max_iter=20_000).fit(_products(masks), y)
    model = _model(refitted.intercept_, refitted.coef_, masks.shape[1])
    return LassoFit(model=model.scaled(mean, deviation), alpha=alpha)


def fit_linear(masks: Masks, scores: Scores) -> PairModel:
    """Ridge regression on main effects alone: what pairs must add to."""
    check_design(masks, scores)
    y, mean, deviation = standardised(scores)
    ridge = RidgeCV(alphas=np.logspace(-3, 3, 13)).fit(coded(masks, "zero_one"), y)
    n = masks.shape[1]
    return PairModel(
        intercept=float(ridge.intercept_), main=np.asarray(ridge.coef_), pairs=np.zeros((n, n))
    ).scaled(mean, deviation)


def fit_exact(masks: Masks, scores: Scores) -> PairModel:
    """Least squares on all 2^n masks: each pair weight is its second difference averaged over all
    states of the other features (the Banzhaf interaction); nothing is estimated."""
    n = masks.shape[1]
    assert len(masks) == 2**n, "not every mask was measured"
    design = np.column_stack([np.ones(len(masks)), _products(masks)])
    solution = np.linalg.lstsq(design, scores, rcond=None)[0]
    return _model(solution[0], solution[1:], n)


def _products(masks: Masks) -> Float[np.ndarray, "mask term"]:
    signs = coded(masks, "plus_minus")
    first, second = np.triu_indices(masks.shape[1], k=1)
    return np.column_stack([signs, signs[:, first] * signs[:, second]])


def _model(intercept: float, coefficients: Float[np.ndarray, " term"], n: int) -> PairModel:
    pairs = np.zeros((n, n))
    first, second = np.triu_indices(n, k=1)
    pairs[first, second] = pairs[second, first] = coefficients[n:]
    return from_plus_minus(float(intercept), coefficients[:n], pairs)
