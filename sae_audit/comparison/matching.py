"""Counts of two checkpoints held against each other at the same clean score (`AtMatchedMargin`).

A minimal set is as large as what it has to undo: on one model, set size follows the clean score. Where a
fine-tune moves scores, sizes, numbers of directions and features held change with them although nothing
else did. Both comparisons here are sums over cases whose signs are flipped at random:

1. *Matched*: prompts of one checkpoint paired with prompts of the other whose score is about the same.
   Needs no shape of the curve, but takes prompts of one score as alike.
2. *Adjusted*: a prompt's difference of counts against its difference of scores, at the intercept.
   Keeps each prompt beside itself, but takes counts as linear in scores. With `w` the intercept's
   least-squares weights and `e` the residuals of the line through 0, the intercept is the sum of `w e`,
   and the signs of `e` are what the null leaves free (Freedman and Lane 1983).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, stats

from sae_audit.comparison.testing import largest_p_values, sign_flips, smallest_p
from sae_audit.comparison.types import AtMatchedMargin
from sae_audit.findings import ALL_ALIKE, NO_INTERVAL, Estimate
from sae_audit.statistics import mean

_CALIPER = 0.2
_FEWEST = 2
_ROUNDING = 1e-9
_LEVEL = 0.95
_FEWEST_WITH_INTERVAL = 5

_Counts = Float[np.ndarray, "prompt column"]
_Scores = Float[np.ndarray, " prompt"]


@dataclass(frozen=True, kw_only=True)
class MatchedRows:
    """Differences at matched margin, one row for each case that is a unit of its test."""

    matched: Float[np.ndarray, "pair column"]
    """Variant minus parent in each pair."""
    adjusted: Float[np.ndarray, "prompt column"] | None
    """Contributions to the intercept: their mean is the intercept. None if it cannot be told."""
    errors: Float[np.ndarray, " column"] | None
    """Standard error of each intercept."""
    caliper: float
    score_gap: float | None

    def p_values(self, seed: int) -> Float[np.ndarray, " column"]:
        """Of each column's change, corrected for all columns: the larger of both tests' where they
        point the same way, else 1."""
        n_columns = self.matched.shape[1]
        if self.adjusted is None or len(self.matched) < _FEWEST:
            return np.ones(n_columns)
        both = [
            largest_p_values(rows, sign_flips(len(rows), seed))
            for rows in (self.matched, self.adjusted)
        ]
        agree = self.matched.sum(axis=0) * self.adjusted.sum(axis=0) > 0.0
        return np.where(agree, np.maximum(*both), 1.0)

    @property
    def smallest_p(self) -> float:
        if self.adjusted is None or len(self.matched) < _FEWEST:
            return 1.0
        return max(smallest_p(len(self.matched)), smallest_p(len(self.adjusted)))

    @property
    def values(self) -> Float[np.ndarray, " column"]:
        """The smaller of both differences, by column; 0 unless both point the same way."""
        if self.adjusted is None or not len(self.matched):
            return np.zeros(self.matched.shape[1])
        one, other = self.matched.mean(axis=0), self.adjusted.mean(axis=0)
        return np.where(one * other > 0.0, np.sign(one) * np.minimum(abs(one), abs(other)), 0.0)


def at_matched_margin(
    counts: tuple[_Scores, _Scores], scores: tuple[_Scores, _Scores], *, seed: int
) -> AtMatchedMargin:
    """The difference of one count of the same prompts in both, with the clean scores held fixed."""
    rows = matched_rows(counts[0][:, None], counts[1][:, None], *scores)
    n, pairs = len(counts[0]), rows.matched[:, 0]
    enough = len(pairs) >= _FEWEST
    own = None if rows.adjusted is None else rows.adjusted[:, 0]
    error = 0.0 if rows.errors is None else float(rows.errors[0])
    return AtMatchedMargin(
        matched=mean(pairs) if enough else None,
        caliper=rows.caliper,
        score_gap=rows.score_gap if enough else None,
        adjusted=None if own is None else _intercept(float(own.mean()), error, n),
        n_pairs=len(pairs),
        p_value=float(rows.p_values(seed)[0]),
        smallest_p=rows.smallest_p,
        spreads=(float(pairs.std(ddof=1)) if enough else 0.0, error * float(np.sqrt(n))),
    )


def matched_rows(
    counts_a: _Counts, counts_b: _Counts, scores_a: _Scores, scores_b: _Scores
) -> MatchedRows:
    """Rows of both comparisons of several counts of the same prompts."""
    assert len(counts_a) >= _FEWEST, "counts of a single prompt"
    caliper = _CALIPER * float(np.std([*scores_a, *scores_b], ddof=1))
    own, other = _pairs(scores_a, scores_b, caliper)
    adjusted, errors = _adjusted(counts_b - counts_a, scores_b - scores_a)
    gaps = scores_b[other] - scores_a[own]
    return MatchedRows(
        matched=counts_b[other] - counts_a[own],
        adjusted=adjusted,
        errors=errors,
        caliper=caliper,
        score_gap=float(gaps.mean()) if len(gaps) else None,
    )


def _pairs(
    scores_a: _Scores, scores_b: _Scores, caliper: float
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Indices of prompts paired across checkpoints, each used once in each: as many pairs within the
    caliper as there can be, and of these the closest; a prompt with itself where that is as close."""
    distances = np.abs(scores_a[:, None] - scores_b)
    is_far = distances > caliper + _ROUNDING
    scale = 1.0 + float(distances.max())
    # One pair within the caliper outweighs all the distances that there are.
    costs = distances + 1e-6 * scale * (1.0 - np.eye(len(scores_a)))
    costs[is_far] = 2.0 * scale * len(scores_a)
    own, other = optimize.linear_sum_assignment(costs)
    near = ~is_far[own, other]
    return own[near], other[near]


def _adjusted(
    differences: _Counts, moved: _Scores
) -> tuple[Float[np.ndarray, "prompt column"] | None, Float[np.ndarray, " column"] | None]:
    n = len(moved)
    if (np.abs(moved) <= _ROUNDING).all():
        return differences, differences.std(axis=0, ddof=1) / np.sqrt(n)
    away = moved - moved.mean()
    squares = float(away @ away)
    if n <= _FEWEST or np.ptp(moved) <= _ROUNDING * float(np.abs(moved).max()):
        return None, None
    weights = 1.0 / n - moved.mean() * away / squares
    residuals = differences - np.outer(moved, moved @ differences / (moved @ moved))
    intercepts = weights @ differences
    around = differences - intercepts - np.outer(moved, away @ differences / squares)
    variance = (around**2).sum(axis=0) / (n - 2)
    return n * weights[:, None] * residuals, np.sqrt(variance * float(weights @ weights))


def _intercept(value: float, error: float, n: int) -> Estimate:
    """The intercept with its t interval; `n - 2` degrees of freedom."""
    method = "t 95%, regression on the change of score"
    if n < _FEWEST_WITH_INTERVAL:
        error, method = 0.0, f"{NO_INTERVAL}fewer than {_FEWEST_WITH_INTERVAL} cases"
    elif error <= _ROUNDING:
        error, method = 0.0, ALL_ALIKE
    reach = error * float(stats.t.ppf((1 + _LEVEL) / 2, n - 2)) if error else 0.0
    return Estimate(value=value, low=value - reach, high=value + reach, n=n, method=method)
