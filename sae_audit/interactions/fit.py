"""Stage 3: pairwise interactions of features in one set function (2509.09708, section on FMs).

1. Draw ablation masks, score them, and hold out a quarter.
2. Fit every solver, the linear model and one monotone curve over single effects; score all on the
   held-out masks, with intervals over them.
3. Refit the reported solver on all masks: weights with intervals, a lasso on all pair products as a
   check, and the largest weight under shuffled scores as the null; the same for what the curve leaves.
4. Name pairs, if pairs predict held-out masks better than single effects and the curve.
5. Describe what pairs do not explain: sampling and model error, triples, and refusal as yes or no.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from sae_audit.findings import HeldOutR2, InteractionGraph
from sae_audit.interactions.beyond_curve import (
    BeyondCurve,
    beyond_curve,
    beyond_curve_exactly,
    predicted_by_curve,
)
from sae_audit.interactions.classification import classifier_fits
from sae_audit.interactions.exact import explained_exactly, fit_exact
from sae_audit.interactions.held_out import HeldOut
from sae_audit.interactions.higher_order import fitted_to_half, null_triple_weight, triples_of
from sae_audit.interactions.linear import fit_linear
from sae_audit.interactions.masks import draw_masks, held_out_rows
from sae_audit.interactions.pair_model import Masks, Scores, check_design
from sae_audit.interactions.solver import Fitted, FittedWalsh, Hyperparameters
from sae_audit.interactions.solvers import (
    SOLVERS,
    SolverName,
    best_pairwise,
    fitted_all,
    solver_fit,
)
from sae_audit.interactions.walsh import fit_walsh
from sae_audit.interactions.weights import NEGLIGIBLE, PairWeights, pairs_of, weights_of
from sae_audit.vocabulary import FeatureId, Score

_CONSTANT = 1e-6
"""Nats; scores that vary by less have no interactions to fit."""
_EXACT_MASKS = 64
"""Number of masks up to which all are scored and pair weights computed exactly."""


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """The measured masks and scores that a fit starts from."""

    scope: str
    players: tuple[FeatureId, ...]
    masks: Masks
    by_prompt: tuple[Scores, ...]
    scores: Scores
    """Mean of `by_prompt`."""
    design: str
    n_sets_scored: int


def interactions(
    scores: Sequence[Score],
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
    """The interaction graph of `players`, fitted to the mean over prompts of measured ablation masks.

    `scores` has one item a prompt. `solver` is the one whose weights are reported. The `n_choosing` sets
    scored to choose the players count in the cost. `hyperparameters` of the factorization machines, if
    given, are not chosen again. The graph of fewer than two players, or of scores that do not vary, has
    no pairs and states the reason.

    Raises:
        AssertionError: no score, a player twice, or scores of another shape or not finite.
        AuditError: `solver` is fm_als, and fastFM is not installed.
    """
    players = sorted(players)
    assert len(set(players)) == len(players), players
    assert scores, "the mean over no prompt"

    def empty(n_scored: int, reason: str) -> InteractionGraph:
        return _empty(
            scope, players, solver, n_prompts=len(scores), n_scored=n_scored, reason=reason
        )

    if len(players) < 2:
        return empty(n_choosing, "fewer than two features have an effect")
    masks, design = draw_masks(len(players), n_masks, seed)
    sets = [frozenset(np.array(players, dtype=object)[mask]) for mask in masks]
    by_prompt = tuple(score(sets) for score in scores)
    for of_prompt in by_prompt:
        check_design(masks, of_prompt)
    mean = np.mean(by_prompt, axis=0)
    n_scored = n_choosing + len(masks)
    if float(np.ptp(mean)) < _CONSTANT:
        return empty(n_scored, "no mask moves the score")
    measured = _Measured(
        scope=scope,
        players=tuple(players),
        masks=masks,
        by_prompt=by_prompt,
        scores=mean,
        design=design,
        n_sets_scored=n_scored,
    )
    if len(masks) <= _EXACT_MASKS and design == "all":
        return _exact(measured)
    if reason := _nothing_to_fit(mean, held_out_rows(len(masks), seed)):
        return empty(n_scored, reason)
    return _fitted(measured, solver, seed=seed, n_shuffles=n_shuffles, given=hyperparameters)


def _nothing_to_fit(scores: Scores, apart: Bool[np.ndarray, " mask"]) -> str:
    """Why no fit or R2 exists although some mask moves the score; empty if both exist."""
    if float(np.ptp(scores[apart])) < _CONSTANT:
        return "the score does not vary on held-out masks"
    if float(np.ptp(scores[~apart])) < _CONSTANT:
        return "the score varies on held-out masks only"
    return ""


def _fitted(
    measured: _Measured,
    solver: SolverName,
    *,
    seed: int,
    n_shuffles: int,
    given: Hyperparameters | None,
) -> InteractionGraph:
    masks, scores = measured.masks, measured.scores
    apart = held_out_rows(len(masks), seed)
    fitted = fitted_all(masks[~apart], scores[~apart], solver, seed=seed, given=given)
    held_out = HeldOut(scores[apart], seed=seed)
    linear = fitted["linear"].predict(masks[apart])
    fits = {
        name: solver_fit(name, one, masks[apart], held_out, linear) for name, one in fitted.items()
    }
    r2 = _held_out_r2(measured, fitted, solver, apart, held_out, seed=seed)
    beyond = beyond_curve(
        masks, measured.by_prompt, seed=seed, n_shuffles=n_shuffles, negligible=NEGLIGIBLE
    )
    # The held-out masks have served their purpose: weights come from all masks.
    named = SOLVERS[solver](masks, scores, seed=seed, chosen=fitted[solver].chosen)
    weights = _weights(
        masks, scores, fitted, named, beyond, solver, seed=seed, n_shuffles=n_shuffles
    )
    pairs = pairs_of(measured.players, weights, predict=not r2.why_unnamed)
    whole = named if isinstance(named, FittedWalsh) else fit_walsh(masks, scores, seed=seed)
    null_triple = null_triple_weight(len(measured.players), whole)
    return InteractionGraph(
        scope=measured.scope,
        n_prompts=len(measured.by_prompt),
        players=measured.players,
        design=measured.design,
        n_masks=len(masks),
        n_held_out=int(apart.sum()),
        solver=solver,
        rank=fits[solver].rank,
        r2=r2,
        explained=None,
        fits=tuple(fits.values()),
        pairs=pairs,
        null_weight=weights.null,
        null_beyond_curve=beyond.null,
        n_sets_scored=measured.n_sets_scored,
        reason="",
        null_triple=null_triple,
        triples=triples_of(measured.players, whole, null_triple),
        classifiers=classifier_fits(masks, scores, apart, measured.players, pairs, seed=seed),
    )


def _held_out_r2(
    measured: _Measured,
    fitted: dict[str, Fitted],
    solver: SolverName,
    apart: Bool[np.ndarray, " mask"],
    held_out: HeldOut,
    *,
    seed: int,
) -> HeldOutR2:
    masks, scores = measured.masks, measured.scores
    best = best_pairwise(fitted, masks[~apart], scores[~apart], seed=seed)
    chosen = fitted[solver].chosen
    half = fitted_to_half(masks, scores, SOLVERS[solver], chosen, apart, seed=seed)
    own, linear, any_order, from_half = (
        one.predict(masks[apart])
        for one in (fitted[solver], fitted["linear"], fitted["walsh"], half)
    )
    pairs, own_pairs = (fitted[name].model.predict(masks[apart]) for name in (best, solver))
    curve = predicted_by_curve(
        masks[~apart],
        [one[~apart] for one in measured.by_prompt],
        masks[apart],
        seed=seed,
        negligible=NEGLIGIBLE,
    )
    return HeldOutR2(
        solver=held_out.r2(own),
        linear=held_out.r2(linear),
        gain=held_out.gain(own, linear),
        pairs=held_out.r2(pairs),
        pairs_solver=best,
        beyond_pairs=held_out.gain(any_order, pairs),
        half_masks=held_out.r2(from_half),
        other_half=held_out.gain(own, from_half),
        pairs_over_linear=held_out.gain(own_pairs, linear),
        curve=held_out.r2(curve.alone),
        pairs_over_curve=held_out.gain(curve.with_pairs, curve.alone),
    )


def _weights(
    masks: Masks,
    scores: Scores,
    fitted: dict[str, Fitted],
    named: Fitted,
    beyond: BeyondCurve,
    solver: SolverName,
    *,
    seed: int,
    n_shuffles: int,
) -> PairWeights:
    return weights_of(
        masks,
        scores,
        SOLVERS[solver],
        named,
        lasso=fitted["lasso"].pair_weights(),
        linear=fit_linear(masks, scores, seed=seed),
        beyond=beyond,
        seed=seed,
        n_shuffles=n_shuffles,
    )


def _exact(measured: _Measured) -> InteractionGraph:
    masks, scores = measured.masks, measured.scores
    pairs = fit_exact(masks, scores).pairs
    left = beyond_curve_exactly(masks, measured.by_prompt, negligible=NEGLIGIBLE)
    beyond = BeyondCurve(pairs=left.pairs, null=NEGLIGIBLE)
    weights = PairWeights(
        pairs=pairs, low=pairs, high=pairs, lasso=None, null=NEGLIGIBLE, beyond=beyond
    )
    return InteractionGraph(
        scope=measured.scope,
        n_prompts=len(measured.by_prompt),
        players=measured.players,
        design="all",
        n_masks=len(masks),
        n_held_out=0,
        solver="exact",
        rank=0,
        r2=None,
        explained=explained_exactly(masks, scores, curve=left.curve),
        fits=(),
        pairs=pairs_of(measured.players, weights, predict=True),
        null_weight=NEGLIGIBLE,
        null_beyond_curve=NEGLIGIBLE,
        n_sets_scored=measured.n_sets_scored,
        reason="",
    )


def _empty(
    scope: str,
    players: Sequence[FeatureId],
    solver: SolverName,
    *,
    n_prompts: int,
    n_scored: int,
    reason: str,
) -> InteractionGraph:
    return InteractionGraph(
        scope=scope,
        n_prompts=n_prompts,
        players=tuple(players),
        design="none",
        n_masks=0,
        n_held_out=0,
        solver=solver,
        rank=0,
        r2=None,
        explained=None,
        fits=(),
        pairs=(),
        null_weight=None,
        null_beyond_curve=None,
        n_sets_scored=n_scored,
        reason=reason,
    )
