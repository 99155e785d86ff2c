"""Stage 3: pairwise interactions of features on one set function (2509.09708, section on FMs).

1. Draw ablation masks, ask their scores, put a quarter apart.
2. Choose rank, L2 and mask coding of the factorization machine by cross-validation.
3. Fit it, the other solvers and the linear model; score all on the masks put apart.
4. Pair weights with intervals; a lasso on all pair products as a check; the largest weight that
   shuffled scores give as the chance level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Bool

from sae_audit.findings import InteractionGraph, PairInteraction, PairKind, SolverFit
from sae_audit.interactions.exact import fit_exact
from sae_audit.interactions.fm_als import cross_validated, fit_als
from sae_audit.interactions.fm_bayes import fit_bayes
from sae_audit.interactions.lasso import fit_lasso
from sae_audit.interactions.linear import fit_linear
from sae_audit.interactions.masks import draw_masks, held_out_rows
from sae_audit.interactions.pair_model import Masks, Pairs, Scores, check_design, r_squared
from sae_audit.interactions.solver import Fitted, FittedPosterior, Hyperparameters, Solver
from sae_audit.vocabulary import FeatureId, Score

SolverName = Literal["fm_bayes", "fm_als", "lasso"]

SOLVERS: dict[str, Solver] = {
    "fm_bayes": fit_bayes,
    "fm_als": fit_als,
    "lasso": fit_lasso,
    "linear": fit_linear,
}
"""In the order of a graph's `fits`."""
_CONSTANT = 1e-6
"""Scores that vary by less, nats, have no interactions to fit."""
_EXACT_MASKS = 64
"""Up to so many masks in all, the pair weights are computed and not fitted."""
_NEGLIGIBLE = 0.05
"""Nats below which an exactly known pair weight is called unclear all the same."""
_BOOTSTRAPS = 20


@dataclass(frozen=True, kw_only=True)
class _Weights:
    pairs: Pairs
    low: Pairs
    high: Pairs
    lasso: Pairs | None
    null: float


def interactions(
    score: Score,
    players: Sequence[FeatureId],
    *,
    scope: str,
    n_masks: int,
    seed: int,
    solver: SolverName,
    n_shuffles: int,
    n_choosing: int = 0,
    hyperparameters: Hyperparameters | None = None,
) -> InteractionGraph:
    """Fit the interactions of `players` on measured ablation masks.

    `solver` is the one whose weights are reported. `n_choosing` sets were scored before, to choose
    the players; they count in the cost. `hyperparameters` of the factorization machines, where
    given, are not chosen again. Fewer than two players, or scores that do not vary, come back
    without pairs and with the reason.

    Raises:
        AssertionError: a player twice, or scores of another shape or not finite.
        AuditError: fastFM is not installed.
    """
    players = sorted(players)
    assert len(set(players)) == len(players), players
    if len(players) < 2:
        return _empty(scope, players, solver, n_choosing, "fewer than two features have an effect")
    masks, design = draw_masks(len(players), n_masks, seed)
    scores = score([frozenset(np.array(players, dtype=object)[mask]) for mask in masks])
    check_design(masks, scores)
    n_scored = n_choosing + len(masks)
    if float(np.ptp(scores)) < _CONSTANT:
        return _empty(scope, players, solver, n_scored, "no mask moves the score")
    if len(masks) <= _EXACT_MASKS and design == "all":
        return _exact(scope, players, masks, scores, n_scored)
    apart = held_out_rows(len(masks), seed)
    if reason := _nothing_to_fit(scores, apart):
        return _empty(scope, players, solver, n_scored, reason)
    train, y = masks[~apart], scores[~apart]
    fitted = _fitted(train, y, seed, hyperparameters)
    fits = {name: _fit(name, fitted[name], masks[apart], scores[apart]) for name in fitted}
    weights = _weights(train, y, fitted, solver, seed=seed, n_shuffles=n_shuffles)
    return InteractionGraph(
        scope=scope,
        players=tuple(players),
        design=design,
        n_masks=len(masks),
        n_held_out=int(apart.sum()),
        solver=solver,
        rank=fits[solver].rank,
        r2_held_out=fits[solver].r2_held_out,
        r2_linear=fits["linear"].r2_held_out,
        fits=tuple(fits.values()),
        pairs=_pairs(players, weights),
        null_weight=weights.null,
        n_sets_scored=n_scored,
        reason="",
    )


def _nothing_to_fit(scores: Scores, apart: Bool[np.ndarray, " mask"]) -> str:
    """Why neither a fit nor its R2 exists, though some mask moves the score; empty where both do."""
    if float(np.ptp(scores[apart])) < _CONSTANT:
        return "the score does not vary on held-out masks"
    if float(np.ptp(scores[~apart])) < _CONSTANT:
        return "the score varies on held-out masks only"
    return ""


def _fitted(
    masks: Masks, scores: Scores, seed: int, given: Hyperparameters | None
) -> dict[str, Fitted]:
    """Every solver's fit; both factorization machines take the same hyperparameters."""
    machine = given or cross_validated(masks, scores, seed=seed)
    chosen = {"fm_bayes": machine, "fm_als": machine}
    return {
        name: solve(masks, scores, seed=seed, chosen=chosen.get(name))
        for name, solve in SOLVERS.items()
    }


def _fit(name: str, fitted: Fitted, masks: Masks, scores: Scores) -> SolverFit:
    return SolverFit(
        solver=name,
        coding=fitted.chosen.coding,
        rank=fitted.chosen.rank,
        l2=fitted.chosen.l2,
        r2_held_out=r_squared(scores, fitted.predict(masks)),
    )


def _weights(
    masks: Masks,
    scores: Scores,
    fitted: dict[str, Fitted],
    solver: SolverName,
    *,
    seed: int,
    n_shuffles: int,
) -> _Weights:
    named = fitted[solver]
    # Refits keep what was chosen on the real scores: choosing again each time costs too much.
    refit = partial(SOLVERS[solver], chosen=named.chosen)
    if isinstance(named, FittedPosterior):
        low, high = named.interval()
    else:
        low, high = _bootstrap(masks, scores, refit, named.pair_weights(), seed)
    return _Weights(
        pairs=named.pair_weights(),
        low=low,
        high=high,
        lasso=fitted["lasso"].pair_weights(),
        null=_null_weight(masks, scores, fitted["linear"], refit, seed=seed, n_shuffles=n_shuffles),
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
    linear = fit_linear(masks, scores, seed=0)
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
    scope: str, players: Sequence[FeatureId], solver: SolverName, n_scored: int, reason: str
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
