"""Factorization machine by Gibbs sampling (myfm), with a posterior for every pair weight."""

import io
import warnings
from contextlib import redirect_stderr
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from sae_audit.interactions.fm_als import cross_validated
from sae_audit.interactions.pair_model import (
    Masks,
    PairModel,
    Scores,
    check_design,
    coded,
    from_factors,
    standardised,
)
from sae_audit.interactions.solver import FittedPosterior, Hyperparameters

_ITERATIONS = 120
_KEPT = 90


def fit_bayes(
    masks: Masks, scores: Scores, *, seed: int, chosen: Hyperparameters | None = None
) -> FittedPosterior:
    """Fit by Gibbs sampling; L2 strengths are sampled too, so none is set.

    Rank and coding, where not given, are those that cross-validation chooses for the same model by
    ALS: a Gibbs chain for every point of the grid takes several times as long.

    Raises:
        AuditError: nothing is given and fastFM, which chooses, is not installed.
    """
    check_design(masks, scores)
    chosen = chosen or cross_validated(masks, scores, seed=seed)
    y, mean, deviation = standardised(scores)
    machine = _machine()(rank=chosen.rank, random_seed=seed)
    # myfm draws a progress bar for every fit, with no option against it.
    with redirect_stderr(io.StringIO()):
        machine.fit(
            csr_matrix(coded(masks, chosen.coding)),
            y,
            n_iter=_ITERATIONS,
            n_kept_samples=_KEPT,
        )
    # V itself is defined up to a rotation; only V V^T, and so the pair weights, may be averaged.
    models = [
        from_factors(sample.w0, np.array(sample.w), np.array(sample.V), chosen.coding)
        for sample in machine.predictor_.samples
    ]
    average = PairModel(
        intercept=float(np.mean([model.intercept for model in models])),
        main=np.mean([model.main for model in models], axis=0),
        pairs=np.mean([model.pairs for model in models], axis=0),
    )
    return FittedPosterior(
        model=average.scaled(mean, deviation),
        chosen=replace(chosen, l2=0.0),
        samples=deviation * np.stack([model.pairs for model in models]),
    )


def _machine() -> Any:
    with warnings.catch_warnings():
        # myfm 0.4 reads its own version through the deprecated pkg_resources.
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        from myfm import MyFMGibbsRegressor
    return MyFMGibbsRegressor
