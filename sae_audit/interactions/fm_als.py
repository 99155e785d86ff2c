"""Factorization machine by alternating least squares (fastFM; Bayer 2016, 1505.00641)."""

from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

from sae_audit.errors import AuditError
from sae_audit.interactions.pair_model import (
    Masks,
    Scores,
    check_design,
    coded,
    from_factors,
    r_squared,
    standardised,
)
from sae_audit.interactions.solver import Fitted, Hyperparameters

RANKS = (2, 4, 8)
L2 = (0.5, 5.0, 20.0)
CODINGS = ("zero_one", "plus_minus")
_ITERATIONS = 50
_FOLDS = 3


def fit_als(
    masks: Masks, scores: Scores, *, seed: int, chosen: Hyperparameters | None = None
) -> Fitted:
    """Fit, with rank, L2 and coding given or chosen by cross-validation.

    Raises:
        AuditError: fastFM is not installed (it builds on Linux x86-64 only).
    """
    check_design(masks, scores)
    chosen = chosen or cross_validated(masks, scores, seed=seed)
    y, mean, deviation = standardised(scores)
    machine = _machine()(
        n_iter=_ITERATIONS,
        init_stdev=0.1,
        rank=chosen.rank,
        l2_reg_w=0.1 * chosen.l2,
        l2_reg_V=chosen.l2,
        random_state=seed,
    )
    # fastFM takes column-sparse matrices alone; dense input fails with a misleading message.
    machine.fit(csc_matrix(coded(masks, chosen.coding)), y)
    fitted = from_factors(machine.w0_, np.array(machine.w_), machine.V_.T, chosen.coding)
    return Fitted(model=fitted.scaled(mean, deviation), chosen=chosen)


def cross_validated(masks: Masks, scores: Scores, *, seed: int) -> Hyperparameters:
    """The rank, L2 and coding with the lowest squared error over three folds."""
    fold = np.random.default_rng(seed).permutation(len(masks)) % _FOLDS
    grid = [
        Hyperparameters(rank=rank, l2=l2, coding=coding)
        for rank in RANKS
        for l2 in L2
        for coding in CODINGS
    ]

    def error(chosen: Hyperparameters) -> float:
        predicted = np.zeros(len(scores))
        for i in range(_FOLDS):
            fitted = fit_als(masks[fold != i], scores[fold != i], seed=seed, chosen=chosen)
            predicted[fold == i] = fitted.predict(masks[fold == i])
        return -r_squared(scores, predicted)

    return min(grid, key=error)


def _machine() -> Any:
    try:
        from fastFM.als import FMRegression
    except ImportError as error:
        raise AuditError(
            "fastFM is not installed (it builds on Linux x86-64 only); install it, or use a "
            "machine of that kind."
        ) from error
    return FMRegression
