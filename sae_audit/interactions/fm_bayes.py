"""Factorization machine by Gibbs sampling (myfm), with a posterior for every pair weight."""

import io
import warnings
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from sae_audit.interactions.pair_model import (
    Masks,
    PairModel,
    Scores,
    check_design,
    coded,
    from_factors,
    standardised,
)

_ITERATIONS = 120
_KEPT = 90


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Mean model and samples of the pair weights, 0/1 coding, nats."""

    mean: PairModel
    pairs: Float[np.ndarray, "sample player player"]

    def interval(self) -> tuple[Float[np.ndarray, "player player"], ...]:
        """Lower and upper end of each pair's central 95%."""
        low, high = np.quantile(self.pairs, [0.025, 0.975], axis=0)
        return low, high


def fit_bayes(masks: Masks, scores: Scores, *, rank: int, coding: str, seed: int) -> Posterior:
    """Fit by Gibbs sampling; L2 strengths are sampled too, so none is set."""
    check_design(masks, scores)
    y, mean, deviation = standardised(scores)
    machine = _machine()(rank=rank, random_seed=seed)
    # myfm draws a progress bar for every fit, with no option against it.
    with redirect_stderr(io.StringIO()):
        machine.fit(csr_matrix(coded(masks, coding)), y, n_iter=_ITERATIONS, n_kept_samples=_KEPT)
    # V itself is defined up to a rotation; only V V^T, and so the pair weights, may be averaged.
    models = [
        from_factors(sample.w0, np.array(sample.w), np.array(sample.V), coding)
        for sample in machine.predictor_.samples
    ]
    average = PairModel(
        intercept=float(np.mean([model.intercept for model in models])),
        main=np.mean([model.main for model in models], axis=0),
        pairs=np.mean([model.pairs for model in models], axis=0),
    )
    return Posterior(
        mean=average.scaled(mean, deviation),
        pairs=deviation * np.stack([model.pairs for model in models]),
    )


def _machine() -> Any:
    with warnings.catch_warnings():
        # myfm 0.4 reads its own version through the deprecated pkg_resources.
        warnings.simplefilter("ignore")
        from myfm import MyFMGibbsRegressor
    return MyFMGibbsRegressor
