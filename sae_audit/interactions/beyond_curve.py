"""Pair weights of what one monotone curve over single effects leaves.

A curve bends all effects alike, so its pairs say nothing of two features; what it leaves is theirs.
Scores that are the mean over prompts have one curve a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.isotonic import isotonic_regression

from sae_audit.interactions.curve import (
    FittedCurve,
    Pair,
    fit_curve,
    fit_curves,
    mean_prediction,
)
from sae_audit.interactions.exact import fit_exact
from sae_audit.interactions.pair_model import Masks, Pairs, Scores, r_squared
from sae_audit.interactions.walsh import fit_walsh, mean_products, weights_alone

_TIED = 9
"""Decimals to which two sums of effects are one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BeyondCurve:
    """Weights of all pairs in the scores minus the curve's predictions, nats."""

    pairs: Pairs
    null: float
    """Largest absolute weight where the curve leaves errors alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictedByCurve:
    """Scores of fresh masks, nats."""

    alone: Float[np.ndarray, " fresh"]
    with_pairs: Float[np.ndarray, " fresh"]
    """With pairs fitted to what the curve leaves of the other masks."""


def predicted_by_curve(
    masks: Masks,
    scores: Sequence[Scores],
    fresh: Bool[np.ndarray, "fresh player"],
    *,
    seed: int,
    negligible: float,
) -> PredictedByCurve:
    """Predictions for `fresh` by what is fitted to `masks`; one item of `scores` a prompt."""
    curves = fit_curves(masks, scores)
    left = np.mean(scores, axis=0) - mean_prediction(curves, masks)
    alone = mean_prediction(curves, fresh)
    if _leaves_no_pair(left, negligible):
        return PredictedByCurve(alone=alone, with_pairs=alone)
    pairs = fit_walsh(masks, left, seed=seed).model.predict(fresh)
    return PredictedByCurve(alone=alone, with_pairs=alone + pairs)


def beyond_curve(
    masks: Masks, scores: Sequence[Scores], *, seed: int, n_shuffles: int, negligible: float
) -> BeyondCurve:
    """The weights by the default solver, with their null; one item of `scores` a prompt.

    The null is the largest change of any weight over refits of the curves and the pairs together, to
    their own predictions plus the shuffled errors of masks not fitted (ter Braak 1992, as
    `walsh.null_level`): pairs without interaction exceed it with probability 1 / (n_shuffles + 1), all
    pairs together. It is at least `negligible`.
    """
    assert n_shuffles >= 1, n_shuffles
    random = np.random.default_rng([seed, 4])
    curves = fit_curves(masks, scores)
    predicted = np.stack([curve.predict(masks) for curve in curves])
    left = np.stack(scores) - predicted
    if _leaves_no_pair(left.mean(axis=0), negligible):
        return BeyondCurve(pairs=mean_products(masks, left.mean(axis=0)), null=negligible)
    fitted = fit_walsh(masks, left.mean(axis=0), seed=seed)
    # Prompts keep errors of their own, and masks are shuffled for all prompts alike.
    errors = left - left.mean(axis=0) + fitted.fresh
    null = negligible
    for _ in range(n_shuffles):
        order = random.permutation(len(masks))
        drawn = predicted + fitted.predict(masks) + errors[:, order]
        refits = [
            fit_curve(masks, one, near=curve) for one, curve in zip(drawn, curves, strict=True)
        ]
        left_again = drawn.mean(axis=0) - mean_prediction(refits, masks)
        changed = weights_alone(masks, left_again) - fitted.weights
        null = max(null, float(np.abs(changed).max()))
    return BeyondCurve(pairs=fitted.weights, null=null)


def _leaves_no_pair(left: Scores, negligible: float) -> bool:
    """Whether no pair weight can exceed `negligible`: none exceeds four mean absolute values.

    Pursuit of terms among rounding errors would take long and find many.
    """
    return 4.0 * float(np.abs(left).mean()) <= negligible


@dataclass(frozen=True, kw_only=True, eq=False)
class BeyondCurveExactly:
    """What a curve leaves of the scores of all 2^n masks."""

    pairs: Pairs
    """Weight of every pair in what is left when it is judged, nats."""
    curve: float
    """Share of the variance that the curve alone explains."""


def beyond_curve_exactly(
    masks: Masks, scores: Sequence[Scores], *, negligible: float
) -> BeyondCurveExactly:
    """What any monotone curve over single effects leaves; one item of `scores` a prompt.

    Pairs are judged one at a time, the strongest first, and each named one joins the sum under the curve
    before the next: a curve fitted without it would leave traces at other pairs. A pair is named if its
    weight in the scores and in what is left exceed `negligible` and have one sign.
    """
    mean = np.mean(scores, axis=0)
    whole = fit_exact(masks, mean).pairs
    left = _left_by_any_curve(masks, scores, ())
    explained = r_squared(mean, mean - left)
    weights, named = fit_exact(masks, left).pairs, list[Pair]()
    while (pair := _strongest(whole, weights, named, negligible)) is not None:
        named.append(pair)
        again = fit_exact(masks, _left_by_any_curve(masks, scores, named)).pairs
        for i, j in named:
            again[i, j] = again[j, i] = weights[i, j]
        weights = again
    return BeyondCurveExactly(pairs=weights, curve=explained)


def _strongest(whole: Pairs, left: Pairs, named: Sequence[Pair], negligible: float) -> Pair | None:
    counts = (np.abs(whole) > negligible) & (np.abs(left) > negligible) & (whole * left > 0.0)
    strength = np.triu(np.where(counts, np.abs(left), 0.0), k=1)
    for pair in named:
        strength[pair] = 0.0
    i, j = (int(k) for k in np.unravel_index(np.argmax(strength), strength.shape))
    return (i, j) if strength[i, j] > 0.0 else None


def _left_by_any_curve(masks: Masks, scores: Sequence[Scores], pairs: Sequence[Pair]) -> Scores:
    """Mean over prompts of the scores minus the monotone function, of any shape, of the fitted sum."""
    return np.mean(
        [one - _monotone(fit_curve(masks, one, pairs=pairs), masks, one) for one in scores], axis=0
    )


def _monotone(fitted: FittedCurve, masks: Masks, scores: Scores) -> Scores:
    """The monotone function of the fitted sum nearest to the scores, by isotonic regression."""
    total = np.round(fitted.total(masks), _TIED)
    order = np.lexsort((scores, total))
    found = np.empty_like(scores)
    found[order] = isotonic_regression(scores[order])
    return found
