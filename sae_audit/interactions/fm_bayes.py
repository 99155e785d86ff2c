"""Factorization machine by Gibbs sampling (myfm), with a posterior for every pair weight."""

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from sae_audit.interactions.pair_model import (
    Factors,
    Masks,
    PairModel,
    Scores,
    check_design,
    coded,
    from_factors,
    r_squared,
    standardised,
)
from sae_audit.interactions.solver import FittedPosterior, Hyperparameters

RANKS = (2, 4, 8)
CODINGS = ("zero_one", "plus_minus")
_ITERATIONS = 120
_KEPT = 90
_TO_CHOOSE = 2
"""A rank and a coding are chosen by fits of this many times fewer iterations."""
_FOLDS = 3


def fit_bayes(
    masks: Masks, scores: Scores, *, seed: int, chosen: Hyperparameters | None = None
) -> FittedPosterior:
    """The fit by Gibbs sampling, which samples the L2 strengths too.

    Rank and coding, if not given, are chosen by cross-validation.
    """
    check_design(masks, scores)
    chosen = chosen or cross_validated(masks, scores, seed=seed)
    y, mean, deviation = standardised(scores)
    samples = bayes_factors(coded(masks, chosen.coding), y, rank=chosen.rank, seed=seed)
    return _averaged(samples, chosen, mean, deviation)


def _averaged(
    samples: Sequence[Factors], chosen: Hyperparameters, mean: float, deviation: float
) -> FittedPosterior:
    # V is defined only up to a rotation, so average V V^T, the pair weights.
    models = [from_factors(*sample, chosen.coding) for sample in samples]
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


def bayes_factors(
    design: Float[np.ndarray, "row feature"],
    y: Float[np.ndarray, " row"],
    *,
    rank: int,
    seed: int,
    fewer: int = 1,
) -> list[Factors]:
    """Posterior samples of the machine of a standardised `y`, by myfm; `fewer` times fewer, if given."""
    machine = _machine()(rank=rank, random_seed=seed)
    # myfm draws a progress bar for every fit, without an option to disable it.
    with redirect_stderr(io.StringIO()):
        machine.fit(
            csr_matrix(design),
            y,
            n_iter=_ITERATIONS // fewer,
            n_kept_samples=_KEPT // fewer,
            callback=lambda *_: (False, None),  # The default one writes a line for the bar.
        )
    return [
        (float(sample.w0), np.array(sample.w), np.array(sample.V))
        for sample in machine.predictor_.samples
    ]


def cross_validated(masks: Masks, scores: Scores, *, seed: int) -> Hyperparameters:
    """The rank and coding with the lowest squared error over three folds."""
    fold = np.random.default_rng(seed).permutation(len(masks)) % _FOLDS
    grid = [Hyperparameters(rank=r, l2=0.0, coding=coding) for r in RANKS for coding in CODINGS]

    def error(chosen: Hyperparameters) -> float:
        predicted = np.zeros(len(scores))
        for i in range(_FOLDS):
            y, mean, deviation = standardised(scores[fold != i])
            design = coded(masks[fold != i], chosen.coding)
            samples = bayes_factors(design, y, rank=chosen.rank, seed=seed, fewer=_TO_CHOOSE)
            fitted = _averaged(samples, chosen, mean, deviation)
            predicted[fold == i] = fitted.predict(masks[fold == i])
        return -r_squared(scores, predicted)

    return min(grid, key=error)


def _machine() -> Any:
    with warnings.catch_warnings():
        # myfm 0.4 reads its own version through the deprecated pkg_resources.
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        from myfm import MyFMGibbsRegressor
    return MyFMGibbsRegressor
