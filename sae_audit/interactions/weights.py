"""The pair weights of one solver: with intervals, chance level, check and kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sae_audit.findings import PairInteraction, PairKind
from sae_audit.interactions.pair_model import Masks, Pairs, Scores
from sae_audit.interactions.solver import Fitted, FittedPosterior, FittedWalsh, Solver
from sae_audit.interactions.walsh import null_level
from sae_audit.vocabulary import FeatureId

_BOOTSTRAPS = 20
NEGLIGIBLE = 0.05
"""Nats below which a weight is called unclear however well it is known."""


@dataclass(frozen=True, kw_only=True)
class PairWeights:
    """What is known of every pair's weight, nats."""

    pairs: Pairs
    low: Pairs
    high: Pairs
    lasso: Pairs | None
    """None where weights are computed and there is nothing to check."""
    null: float
    """Chance level."""


def weights_of(
    masks: Masks,
    scores: Scores,
    solve: Solver,
    named: Fitted,
    *,
    lasso: Pairs,
    linear: Fitted,
    seed: int,
    n_shuffles: int,
) -> PairWeights:
    """The weights of `named`, which `solve` fitted to these masks."""
    # Refits keep what was chosen on the real scores: choosing again each time costs too much.
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
    )


def _bootstrap(
    masks: Masks, scores: Scores, refit: Solver, pairs: Pairs, seed: int
) -> tuple[Pairs, Pairs]:
    """95% interval of each pair weight of a solver without posterior.

    The weight and 1.96 times its deviation over resampled masks either side: so few resamples
    give a deviation, and no outer quantiles.
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
    """The largest absolute pair weight that any of `n_shuffles` shuffles gives.

    Without interactions a fit exceeds it with probability 1 / (n_shuffles + 1).

    What the linear model leaves over is shuffled among the masks (Freedman and Lane 1983), so main
    effects stay. The refit is by the solver whose weights are judged: another one shrinks noise
    differently, and its chance level is not theirs.
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


def pairs_of(players: Sequence[FeatureId], weights: PairWeights) -> tuple[PairInteraction, ...]:
    """Every pair, by falling absolute weight."""
    first, second = np.triu_indices(len(players), k=1)
    order = np.argsort(-np.abs(weights.pairs[first, second]), kind="stable")
    pairs: list[PairInteraction] = []
    for i, j in zip(first[order], second[order], strict=True):
        lasso = None if weights.lasso is None else float(weights.lasso[i, j])
        weight, low, high = (float(m[i, j]) for m in (weights.pairs, weights.low, weights.high))
        pairs.append(
            PairInteraction(
                a=players[i],
                b=players[j],
                weight=weight,
                low=low,
                high=high,
                kind=_kind(weight, low, high, lasso, weights.null),
                lasso=lasso,
            )
        )
    return tuple(pairs)


def _kind(weight: float, low: float, high: float, lasso: float | None, null: float) -> PairKind:
    """Named only where interval, chance level and lasso agree."""
    if abs(weight) <= null or low <= 0.0 <= high:
        return PairKind.UNCLEAR
    if lasso is not None and lasso * weight <= 0.0:
        return PairKind.UNCLEAR
    return PairKind.REDUNDANT if weight < 0.0 else PairKind.SHARED_PATH
