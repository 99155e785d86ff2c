"""Sparse regression on all pair products: the check on the factorization machines."""

import warnings

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


def fit_lasso(
    masks: Masks, scores: Scores, *, seed: int, chosen: Hyperparameters | None = None
) -> Fitted:
    """Lasso on +-1 main effects and all their pair products.

    The L1 strength is given as `chosen.l2`, or chosen over three folds. Nothing is random here.
    """
    del seed
    check_design(masks, scores)
    y, mean, deviation = standardised(scores)
    products = pair_products(masks)
    if chosen is None:
        with warnings.catch_warnings():
            # The smallest strengths stop short: on scores that are mostly noise they would take
            # most of the time, and seldom win. The one chosen is refitted to its end.
            warnings.simplefilter("ignore", ConvergenceWarning)
            path = LassoCV(cv=_FOLDS, alphas=40, max_iter=200).fit(products, y)
        chosen = Hyperparameters(rank=0, l2=float(path.alpha_), coding="plus_minus")
    refitted = Lasso(alpha=chosen.l2, max_iter=20_000).fit(products, y)
    model = from_products(refitted.intercept_, refitted.coef_, masks.shape[1])
    return Fitted(model=model.scaled(mean, deviation), chosen=chosen)
