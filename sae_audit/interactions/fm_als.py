"""Factorization machine by alternating least squares (fastFM; Bayer 2016, 1505.00641)."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import csc_matrix

from sae_audit.errors import AuditError
from sae_audit.interactions import fm_bayes
from sae_audit.interactions.pair_model import (
    Factors,
    Masks,
    Scores,
    check_design,
    coded,
    from_factors,
    r_squared,
    standardised,
)
from sae_audit.interactions.solver import Fitted, Hyperparameters

L2 = (0.5, 5.0, 20.0)
_ITERATIONS = 50
_FOLDS = 3


def fit_als(
    masks: Masks, scores: Scores, *, seed: int, chosen: Hyperparameters | None = None
) -> Fitted:
    """The fit, with rank, L2 strength and coding given or chosen by cross-validation.

    Rank and coding are chosen by the sampler, which needs no L2 strength; then the L2 strength for them,
    if none (0.0) is given.

    Raises:
        AuditError: fastFM is not installed (it builds on Linux x86-64 only).
    """
    check_design(masks, scores)
    _ = _machine()  # Missing, it is said before anything is chosen.
    chosen = chosen or fm_bayes.cross_validated(masks, scores, seed=seed)
    if chosen.l2 == 0.0:
        chosen = cross_validated(masks, scores, chosen, seed=seed)
    y, mean, deviation = standardised(scores)
    factors = als_factors(coded(masks, chosen.coding), y, rank=chosen.rank, l2=chosen.l2, seed=seed)
    fitted = from_factors(*factors, chosen.coding)
    return Fitted(model=fitted.scaled(mean, deviation), chosen=chosen)


def als_factors(
    design: Float[np.ndarray, "row feature"],
    y: Float[np.ndarray, " row"],
    *,
    rank: int,
    l2: float,
    seed: int,
) -> Factors:
    """The machine of a standardised `y` by fastFM; `l2` acts on the factors, a tenth on main effects.

    Raises:
        AuditError: fastFM is not installed.
    """
    machine = _machine()(
        n_iter=_ITERATIONS,
        init_stdev=0.1,
        rank=rank,
        l2_reg_w=0.1 * l2,
        l2_reg_V=l2,
        random_state=seed,
    )
    # fastFM takes column-sparse matrices alone; dense input fails with a misleading message.
    machine.fit(csc_matrix(design), y)
    return float(machine.w0_), np.array(machine.w_), machine.V_.T


def cross_validated(
    masks: Masks, scores: Scores, given: Hyperparameters, *, seed: int
) -> Hyperparameters:
    """The given rank and coding with the L2 strength of lowest squared error over three folds."""
    fold = np.random.default_rng(seed).permutation(len(masks)) % _FOLDS

    def error(chosen: Hyperparameters) -> float:
        predicted = np.zeros(len(scores))
        for i in range(_FOLDS):
            fitted = fit_als(masks[fold != i], scores[fold != i], seed=seed, chosen=chosen)
            predicted[fold == i] = fitted.predict(masks[fold == i])
        return -r_squared(scores, predicted)

    return min((replace(given, l2=l2) for l2 in L2), key=error)


def installed() -> bool:
    """Whether fastFM is installed; it builds on Linux x86-64 only."""
    try:
        _machine()
    except AuditError:
        return False
    return True


def _machine() -> Any:
    try:
        from fastFM.als import FMRegression
    except (ImportError, ValueError) as error:  # ValueError: built for another numpy
        raise AuditError(
            "fastFM is not installed (it builds on Linux x86-64 only); install it, or use "
            "--set interactions.solver=walsh."
        ) from error
    return FMRegression
