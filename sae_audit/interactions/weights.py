"""One solver's pair weights, with intervals, nulls, check and kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sae_audit.findings import PairInteraction, PairKind
from sae_audit.interactions.beyond_curve import BeyondCurve
from sae_audit.interactions.pair_model import Masks, Pairs, Scores
from sae_audit.interactions.solver import Fitted, FittedPosterior, FittedWalsh, Solver
from sae_audit.interactions.walsh import null_level
from sae_audit.vocabulary import FeatureId

_BOOTSTRAPS = 20
NEGLIGIBLE = 0.05
"""Nats below which a weight is called unclear, however precise."""


@dataclass(frozen=True, kw_only=True)
class PairWeights:
    """Every pair's weight with its evidence, nats."""

    pairs: Pairs
    low: Pairs
    high: Pairs
    lasso: Pairs | None
    """Weights of the lasso; None if weights are computed exactly."""
    null: float
    """Largest absolute weight under the null."""
    beyond: BeyondCurve


def weights_of(
    masks: Masks,
    scores: Scores,
    solve: Solver,
    named: Fitted,
    *,
    lasso: Pairs,
    linear: Fitted,
    beyond: BeyondCurve,
    seed: int,
    n_shuffles: int,
) -> PairWeights:
    """The weights of `named`, which `solve` fitted to these masks."""
    # Refits keep the hyperparameters chosen on the real scores, as choosing again costs too much.
    refit = partial(solve, chosen=named.chosen)
    if isinstance(named, FittedWalsh):
        null = max(NEGLIGIBLE, null_level(named, masks, seed=seed, n_shuffles=n_shuffles))
    else:
        null = _null_weight(masks, scores, linear, refit, seed=seed, n_shuffles=n_shuffles)
    if isinstance(named, FittedPosterior | FittedWalsh):
        low, high = named.interval()
    else:
        low, high = _bootstrap(masks, scores, refit, named.pair_weights(), seed)
    return PairWeights(
        pairs=named.pair_weights(),
        low=low,
        high=high,
        lasso=lasso,
        null=null,
        beyond=beyond,
    )


def _bootstrap(
    masks: Masks, scores: Scores, refit: Solver, pairs: Pairs, seed: int
) -> tuple[Pairs, Pairs]:
    """95% interval of each pair weight of a solver without posterior.

    The weight plus or minus 1.96 times its deviation over resampled masks: these few resamples give a
    deviation, but no outer quantiles.
    """
    random = np.random.default_rng(seed)
    drawn = [random.integers(0, len(masks), len(masks)) for _ in range(_BOOTSTRAPS)]
    refits = [refit(masks[rows], scores[rows], seed=seed).pair_weights() for rows in drawn]
    reach = 1.96 * np.std(refits, axis=0, ddof=1)
    return pairs - reach, pairs + reach


def _null_weight(
    masks: Masks,
    scores: Scores,
    linear: Fitted,
    refit: Solver,
    *,
    seed: int,
    n_shuffles: int,
) -> float:
    """The largest absolute pair weight over `n_shuffles` shuffles.

    A fit without interactions exceeds it with probability 1 / (n_shuffles + 1). The linear model's
    residuals are shuffled among the masks (Freedman and Lane 1983), so main effects stay. The refit uses
    the solver being judged, because each solver shrinks noise differently.
    """
    assert n_shuffles >= 1, n_shuffles
    random = np.random.default_rng(seed)
    predicted = linear.predict(masks)
    left_over = scores - predicted
    largest = [
        np.abs(
            refit(masks, predicted + random.permutation(left_over), seed=seed).pair_weights()
        ).max()
        for _ in range(n_shuffles)
    ]
    return float(np.max(largest))


def pairs_of(
    players: Sequence[FeatureId], weights: PairWeights, *, predict: bool
) -> tuple[PairInteraction, ...]:
    """Every pair, by falling absolute weight; all unclear unless pairs `predict` held-out masks."""
    first, second = np.triu_indices(len(players), k=1)
    order = np.argsort(-np.abs(weights.pairs[first, second]), kind="stable")
    pairs: list[PairInteraction] = []
    for i, j in zip(first[order], second[order], strict=True):
        lasso = None if weights.lasso is None else float(weights.lasso[i, j])
        weight, low, high = (float(m[i, j]) for m in (weights.pairs, weights.low, weights.high))
        beyond, null = float(weights.beyond.pairs[i, j]), weights.beyond.null
        named = (
            predict
            and _clear(weight, low, high, weights.null)
            and _confirmed(weight, lasso, beyond, null)
        )
        pairs.append(
            PairInteraction(
                a=players[i],
                b=players[j],
                weight=weight,
                low=low,
                high=high,
                kind=_kind(weight) if named else PairKind.UNCLEAR,
                lasso=lasso,
                beyond_curve=beyond,
                curve_low=weight - beyond - null,
                curve_high=weight - beyond + null,
            )
        )
    return tuple(pairs)


def _kind(weight: float) -> PairKind:
    return PairKind.REDUNDANT if weight < 0.0 else PairKind.SHARED_PATH


def _clear(weight: float, low: float, high: float, null: float) -> bool:
    return abs(weight) > null and not low <= 0.0 <= high


def _confirmed(weight: float, lasso: float | None, beyond: float, null_beyond: float) -> bool:
    """Whether the lasso has the same sign, and what the curve leaves too, beyond chance."""
    agrees = lasso is None or lasso * weight > 0.0
    return agrees and abs(beyond) > null_beyond and beyond * weight > 0.0
