"""Stage 3: pairwise interactions of features on one set function (2509.09708, section on FMs).

1. Draw ablation masks, ask their scores, put a quarter apart.
2. Choose rank, L2 and mask coding of the factorization machine by cross-validation.
3. Fit it, the other solvers and the linear model; score all on the masks put apart.
4. Pair weights with intervals; a lasso on all pair products as a check; the largest weight that
   shuffled scores give as the chance level.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from sae_audit.findings import InteractionGraph, PairInteraction, PairKind, SolverFit
from sae_audit.interactions.fm_als import Hyperparameters, cross_validated, fit_als
from sae_audit.interactions.fm_bayes import fit_bayes
from sae_audit.interactions.lasso import fit_exact, fit_lasso, fit_linear
from sae_audit.interactions.masks import draw_masks, held_out_rows
from sae_audit.interactions.pair_model import Masks, PairModel, Scores, r_squared
from sae_audit.vocabulary import FeatureId, Score

Solver = Literal["fm_bayes", "fm_als"]

_CONSTANT = 1e-6
"""Scores that vary by less, nats, have no interactions to fit."""
_EXACT_MASKS = 64
"""Up to so many masks in all, the pair weights are computed and not fitted."""
_NEGLIGIBLE = 0.05
"""Nats below which an exactly known pair weight is called unclear all the same."""
_BOOTSTRAPS = 40
Matrix = Float[np.ndarray, "player player"]
Refit = Callable[[Masks, Scores], PairModel]


@dataclass(frozen=True, kw_only=True)
class _Weights:
    pairs: Matrix
    low: Matrix
    high: Matrix
    lasso: Matrix | None
    null: float


def interactions(
    score: Score,
    players: Sequence[FeatureId],
    *,
    scope: str,
    n_masks: int,
    seed: int,
    solver: Solver,
    n_shuffles: int,
    n_choosing: int = 0,
) -> InteractionGraph:
    """Fit the interactions of `players` on measured ablation masks.

    `n_choosing` sets were scored before, to choose the players; they count in the cost. Fewer than
    two players, or scores that do not vary, come back without pairs and with the reason.
    """
    players = sorted(players)
    if len(players) < 2:
        return _empty(scope, players, solver, n_choosing, "fewer than two features have an effect")
    masks, design = draw_masks(len(players), n_masks, seed)
    scores = score([frozenset(np.array(players, dtype=object)[mask]) for mask in masks])
    n_scored = n_choosing + len(masks)
    if float(np.ptp(scores)) < _CONSTANT:
        return _empty(scope, players, solver, n_scored, "no mask moves the score")
    if len(masks) <= _EXACT_MASKS and design == "all":
        return _exact(scope, players, masks, scores, n_scored)
    apart = held_out_rows(len(masks), seed)
    if float(np.ptp(scores[apart])) < _CONSTANT:
        return _empty(scope, players, solver, n_scored, "the score does not vary on held-out masks")
    fits, weights, chosen = _fitted(masks, scores, apart, solver, seed, n_shuffles)
    by_name = {fit.solver: fit for fit in fits}
    return InteractionGraph(
        scope=scope,
        players=tuple(players),
        design=design,
        n_masks=len(masks),
        n_held_out=int(apart.sum()),
        solver=solver,
        rank=chosen.rank,
        r2_held_out=by_name[solver].r2_held_out,
        r2_linear=by_name["linear"].r2_held_out,
        fits=fits,
        pairs=_pairs(players, weights),
        null_weight=weights.null,
        n_sets_scored=n_scored,
        reason="",
    )


def _fitted(
    masks: Masks,
    scores: Scores,
    apart: np.ndarray,
    solver: Solver,
    seed: int,
    n_shuffles: int,
) -> tuple[tuple[SolverFit, ...], _Weights, Hyperparameters]:
    train, y = masks[~apart], scores[~apart]
    chosen = cross_validated(train, y, seed=seed)
    als = fit_als(train, y, chosen, seed=seed)
    # The sampler draws its own L2; rank and coding are those chosen for the same model by ALS.
    bayes = fit_bayes(train, y, rank=chosen.rank, coding=chosen.coding, seed=seed)
    lasso = fit_lasso(train, y)
    linear = fit_linear(train, y)

    def fit(name: str, model: PairModel, rank: int, strength: float, coding: str) -> SolverFit:
        r2 = r_squared(scores[apart], model.predict(masks[apart]))
        return SolverFit(solver=name, coding=coding, rank=rank, l2=strength, r2_held_out=r2)

    fits = (
        fit("fm_bayes", bayes.mean, chosen.rank, 0.0, chosen.coding),
        fit("fm_als", als, chosen.rank, chosen.l2, chosen.coding),
        fit("lasso", lasso.model, 0, lasso.alpha, "plus_minus"),
        fit("linear", linear, 0, 0.0, "zero_one"),
    )
    if solver == "fm_bayes":
        pairs, (low, high) = bayes.mean.pairs, bayes.interval()
    else:
        pairs, (low, high) = als.pairs, _bootstrap(train, y, chosen, seed)
    null = _null_weight(
        train, y, linear, _refit(solver, chosen, seed), seed=seed, n_shuffles=n_shuffles
    )
    weights = _Weights(pairs=pairs, low=low, high=high, lasso=lasso.model.pairs, null=null)
    return fits, weights, chosen


def _bootstrap(
    masks: Masks, scores: Scores, chosen: Hyperparameters, seed: int
) -> tuple[Matrix, Matrix]:
    """95% interval of each pair weight over resampled masks: ALS has no posterior."""
    random = np.random.default_rng(seed)
    drawn = [random.integers(0, len(masks), len(masks)) for _ in range(_BOOTSTRAPS)]
    pairs = [fit_als(masks[rows], scores[rows], chosen, seed=seed).pairs for rows in drawn]
    low, high = np.quantile(pairs, [0.025, 0.975], axis=0)
    return low, high


def _refit(solver: Solver, chosen: Hyperparameters, seed: int) -> Refit:
    if solver == "fm_als":
        return lambda masks, scores: fit_als(masks, scores, chosen, seed=seed)
    return lambda masks, scores: (
        fit_bayes(masks, scores, rank=chosen.rank, coding=chosen.coding, seed=seed).mean
    )


def _null_weight(
    masks: Masks,
    scores: Scores,
    linear: PairModel,
    refit: Refit,
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
    random = np.random.default_rng(seed)
    predicted = linear.predict(masks)
    left_over = scores - predicted
    largest = [
        np.abs(refit(masks, predicted + random.permutation(left_over)).pairs).max()
        for _ in range(n_shuffles)
    ]
    return float(np.max(largest))


def _pairs(players: Sequence[FeatureId], weights: _Weights) -> tuple[PairInteraction, ...]:
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


def _exact(
    scope: str,
    players: Sequence[FeatureId],
    masks: Masks,
    scores: Scores,
    n_scored: int,
) -> InteractionGraph:
    model = fit_exact(masks, scores)
    linear = fit_linear(masks, scores)
    r2 = r_squared(scores, model.predict(masks))
    r2_linear = r_squared(scores, linear.predict(masks))
    pairs = model.pairs
    weights = _Weights(pairs=pairs, low=pairs, high=pairs, lasso=None, null=_NEGLIGIBLE)
    return InteractionGraph(
        scope=scope,
        players=tuple(players),
        design="all",
        n_masks=len(masks),
        n_held_out=0,
        solver="exact",
        rank=0,
        r2_held_out=r2,
        r2_linear=r2_linear,
        fits=(),
        pairs=_pairs(players, weights),
        null_weight=_NEGLIGIBLE,
        n_sets_scored=n_scored,
        reason="",
    )


def _empty(
    scope: str, players: Sequence[FeatureId], solver: Solver, n_scored: int, reason: str
) -> InteractionGraph:
    return InteractionGraph(
        scope=scope,
        players=tuple(players),
        design="none",
        n_masks=0,
        n_held_out=0,
        solver=solver,
        rank=0,
        r2_held_out=0.0,
        r2_linear=0.0,
        fits=(),
        pairs=(),
        null_weight=0.0,
        n_sets_scored=n_scored,
        reason=reason,
    )
