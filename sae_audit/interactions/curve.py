"""One monotone curve over single effects: the rival of pair weights that knows no pair.

A score that saturates bends every effect, so features that only add up show pair weights too: global,
or nonspecific, epistasis (Otwinowski, McCandlish and Plotkin 2018; Sailer and Harms 2017). The model is
`y = g(u)` with `u = sum w_i s_i`, s = 2z - 1 and g monotone.

1. Fit u by ridge regression, as the linear model does.
2. Fit g to it: its slope is linear between quantiles of u, constant beyond them, and never negative.
3. Move u by a Gauss-Newton step against g, fit g again, and keep both if the error falls.
   Repeat until it does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from sae_audit.interactions.pair_model import Masks, Scores, check_design, coded, standardised

_KNOTS = 10
"""Number of quantiles of u at which the slope may change."""
_STIFFNESS = 1e-4
"""Penalty on squared differences of neighbouring slopes, per mask; it settles slopes without masks."""
_RIDGE = 1e-3
"""L2 strength on each move of u, per mask, of standardised scores."""
_STEPS = 25
_HALVINGS = 5
_ENOUGH = 1e-5
"""Relative fall of the error below which the fit ends."""
_EXACT = 1e-10
"""Error, as a share of the scores' variance, below which the fit ends."""

Pair = tuple[int, int]
"""Indices of two players."""
_Columns = Float[np.ndarray, "mask term"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Curve:
    """g, in deviations of the scores, over u in its own deviations."""

    knots: Float[np.ndarray, " knot"]
    slopes: Float[np.ndarray, " knot"]
    start: float
    """g at the first knot."""

    def value(self, u: Scores) -> Scores:
        return self.start + _integrals(u, self.knots) @ self.slopes

    def slope(self, u: Scores) -> Scores:
        return np.interp(u, self.knots, self.slopes)


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedCurve:
    """A fitted `g(sum w_i s_i)`."""

    weights: Float[np.ndarray, " term"]
    """w of every player, then of every pair, in deviations of u over the fitted masks."""
    pairs: tuple[Pair, ...]
    """Players' indices of the products in the sum; empty for the rival without pairs."""
    centre: float
    """Mean of u over the fitted masks."""
    curve: _Curve
    mean: float
    deviation: float
    """Mean and deviation of the fitted scores, nats."""

    def total(self, masks: Masks) -> Scores:
        """u of masks."""
        return _terms(masks, self.pairs) @ self.weights - self.centre

    def predict(self, masks: Masks) -> Scores:
        """Refusal scores of masks, nats."""
        return self.mean + self.deviation * self.curve.value(self.total(masks))


class _Step(NamedTuple):
    weights: Float[np.ndarray, " term"]
    curve: _Curve
    left: Scores
    """Residuals of the standardised scores."""

    @property
    def error(self) -> float:
        """Mean squared error, a share of the scores' variance."""
        return float((self.left**2).mean())


def fit_curve(
    masks: Masks,
    scores: Scores,
    *,
    pairs: Sequence[Pair] = (),
    near: FittedCurve | None = None,
) -> FittedCurve:
    """The fit to these masks; deterministic. Of constant scores it is that constant.

    The products of `pairs` enter the sum like single effects. `near`, the fit of similar scores, is
    where it starts in place of the linear model.
    """
    check_design(masks, scores)
    y, mean, deviation = standardised(scores)
    terms = _terms(masks, pairs)
    averages = terms.mean(axis=0)
    columns = terms - averages
    step = _with_curve(columns, y, _least_squares(columns, y) if near is None else near.weights)
    for _ in range(_STEPS):
        moved = _better(columns, y, step)
        if moved is None:
            break
        fell, step = step.error - moved.error, moved
        if fell <= _ENOUGH * step.error or step.error <= _EXACT:
            break
    return FittedCurve(
        weights=step.weights,
        pairs=tuple(pairs),
        centre=float(averages @ step.weights),
        curve=step.curve,
        mean=mean,
        deviation=deviation,
    )


def fit_curves(masks: Masks, scores: Sequence[Scores]) -> tuple[FittedCurve, ...]:
    """One fit for each prompt's scores: the mean of curves that differ is no curve of one sum."""
    return tuple(fit_curve(masks, of_prompt) for of_prompt in scores)


def mean_prediction(curves: Sequence[FittedCurve], masks: Masks) -> Scores:
    """Mean over prompts of the scores that their curves predict, nats."""
    return np.mean([curve.predict(masks) for curve in curves], axis=0)


def _better(columns: _Columns, y: Scores, step: _Step) -> _Step | None:
    """The Gauss-Newton step, halved until the error falls; None if it never does."""
    slope = step.curve.slope(columns @ step.weights)
    move = _least_squares(columns * slope[:, None], step.left)
    for halving in range(_HALVINGS):
        tried = _with_curve(columns, y, step.weights + 0.5**halving * move)
        if tried.error < step.error:
            return tried
    return None


def _terms(masks: Masks, pairs: Sequence[Pair]) -> _Columns:
    signs = coded(masks, "plus_minus")
    return np.column_stack([signs, *(signs[:, i] * signs[:, j] for i, j in pairs)])


def _with_curve(columns: _Columns, y: Scores, weights: Float[np.ndarray, " term"]) -> _Step:
    deviation = float((columns @ weights).std())
    weights = weights / deviation if deviation > 0.0 else weights
    return _Step(weights, *_fitted_curve(columns @ weights, y))


def _least_squares(columns: _Columns, y: Scores) -> Float[np.ndarray, " term"]:
    gram = columns.T @ columns + _RIDGE * len(y) * np.eye(columns.shape[1])
    return np.linalg.solve(gram, columns.T @ y)


def _fitted_curve(u: Scores, y: Scores) -> tuple[_Curve, Scores]:
    """g, and what it leaves of y."""
    knots = np.unique(np.quantile(u, np.linspace(0.0, 1.0, _KNOTS)))
    if len(knots) < 2:
        return _Curve(knots=knots, slopes=np.zeros(1), start=float(y.mean())), y - y.mean()
    columns = _integrals(u, knots)
    averages = columns.mean(axis=0)
    columns = columns - averages
    stiff = np.sqrt(_STIFFNESS * len(y)) * np.diff(np.eye(len(knots)), axis=0)
    target = np.concatenate([y - y.mean(), np.zeros(len(stiff))])
    slopes = np.asarray(nnls(np.vstack([columns, stiff]), target)[0])
    curve = _Curve(knots=knots, slopes=slopes, start=float(y.mean() - averages @ slopes))
    return curve, y - y.mean() - columns @ slopes


def _integrals(u: Scores, knots: Float[np.ndarray, " knot"]) -> Float[np.ndarray, "mask knot"]:
    """Integral, from the first knot to u, of a slope that is 1 at one knot and 0 at all others."""
    width = np.diff(knots)
    part = np.clip((u[:, None] - knots[:-1]) / width, 0.0, 1.0)
    columns = np.zeros((len(u), len(knots)))
    columns[:, :-1] += width * (part - part**2 / 2.0)
    columns[:, 1:] += width * part**2 / 2.0
    columns[:, 0] += np.minimum(u - knots[0], 0.0)
    columns[:, -1] += np.maximum(u - knots[-1], 0.0)
    return columns
