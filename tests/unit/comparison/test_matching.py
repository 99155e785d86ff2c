"""Counts at matched margin: what only follows scores is no change, what does not is one."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from sae_audit.comparison.matching import MatchedRows, at_matched_margin, matched_rows
from sae_audit.comparison.testing import largest_p_values, sign_flips

N = 40
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "in proportion": lambda score: score / 2,
    "in steps": lambda score: np.ceil(score / 1.7),
    "above a threshold": lambda score: 1.0 * (score > 4) + (score > 6),
    "ever faster": lambda score: np.exp(score / 3),
}
SHIFTS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "not at all": lambda draws, score: score + draws.normal(0, 0.5, N),
    "down by two or so": lambda draws, score: score - abs(draws.normal(2, 1, N)),
    "to half": lambda draws, score: 0.55 * score + draws.normal(0, 0.3, N),
}


def pair(
    seed: int, shift: str, curve: Callable[[np.ndarray], np.ndarray], more: float = 0.0
) -> MatchedRows:
    """Two checkpoints in which one curve makes counts of scores; the second counts `more` besides."""
    draws = np.random.default_rng(seed)
    scores_a = draws.normal(5, 1.5, N)
    scores_b = SHIFTS[shift](draws, scores_a)
    of_prompt = draws.normal(0, 0.5, N)
    counts = [
        np.round(curve(scores) + of_prompt + draws.normal(0, 0.3, N) + by)[:, None]
        for scores, by in ((scores_a, 0.0), (scores_b, more))
    ]
    return matched_rows(counts[0], counts[1], scores_a, scores_b)


def p_of(rows: np.ndarray) -> float:
    return float(largest_p_values(rows, sign_flips(len(rows), 0, n_random=1000))[0])


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_counts_that_differ_because_margins_do_are_no_change(shift: str, curve: str):
    """At most 5% of 50 pairs of runs; three are 6%, which level .05 passes with 76%."""
    found = [pair(seed, shift, CURVES[curve]).p_values(0)[0] for seed in range(50)]
    assert np.mean(np.array(found) <= 0.05) <= 0.06


@pytest.mark.parametrize("curve", ["in proportion", "in steps", "above a threshold"])
@pytest.mark.parametrize("shift", SHIFTS)
def test_one_feature_more_whatever_the_margin_is_a_change(shift: str, curve: str):
    found = [pair(seed, shift, CURVES[curve], more=1.5).p_values(0)[0] for seed in range(20)]
    assert np.mean(np.array(found) <= 0.05) >= 0.8
    assert pair(0, shift, CURVES[curve], more=1.5).values[0] > 0.3


def test_raw_counts_would_be_named_where_only_margins_moved():
    rows = [pair(seed, "down by two or so", CURVES["in proportion"]) for seed in range(10)]
    assert all(one.p_values(0)[0] > 0.05 for one in rows)
    draws = np.random.default_rng(0)
    scores = draws.normal(5, 1.5, N)
    raw = (scores - abs(draws.normal(2, 1, N))) / 2 - scores / 2
    assert p_of(raw[:, None]) <= 1e-3


def test_matching_alone_errs_where_counts_go_with_the_prompt():
    """No prompt's count changed; prompts of one score are others than before."""
    errs, both = 0, 0
    for seed in range(10):
        draws = np.random.default_rng(seed)
        scores = draws.normal(5, 1.5, N)
        counts = np.round(scores + draws.normal(0, 0.7, N))[:, None]
        rows = matched_rows(counts, counts, scores, scores - 2 + draws.normal(0, 0.3, N))
        errs += p_of(rows.matched) <= 0.05
        both += rows.p_values(0)[0] <= 0.05
    assert errs >= 8
    assert both == 0


def test_the_regression_alone_errs_where_counts_are_not_in_proportion():
    rows = [pair(seed, "to half", CURVES["ever faster"]) for seed in range(10)]
    for one in rows:
        assert one.adjusted is not None
        assert p_of(one.adjusted) <= 0.05
    assert sum(one.p_values(0)[0] <= 0.05 for one in rows) <= 1


def test_scores_that_never_meet_say_nothing():
    scores = np.linspace(4, 6, 20)
    draws = np.random.default_rng(0)
    found = at_matched_margin(
        (np.full(20, 3.0), np.full(20, 1.0)),
        (scores, scores - 4 + draws.normal(0, 0.1, 20)),
        seed=0,
    )
    assert (found.matched, found.n_pairs, found.score_gap) == (None, 0, None)
    assert (found.p_value, found.smallest_p, found.value) == (1.0, 1.0, 0.0)


def test_scores_that_all_moved_alike_say_nothing():
    scores = np.linspace(1, 9, 20)
    found = at_matched_margin((scores, scores - 1), (scores, scores - 2), seed=0)
    assert found.adjusted is None
    assert (found.p_value, found.smallest_p) == (1.0, 1.0)


def test_scores_that_did_not_move_leave_the_plain_paired_difference():
    draws = np.random.default_rng(0)
    counts = (draws.integers(1, 5, 20).astype(float), draws.integers(1, 5, 20).astype(float))
    scores = draws.normal(5, 1, 20)
    found = at_matched_margin(counts, (scores, scores), seed=0)
    assert found.adjusted is not None
    assert found.adjusted.value == pytest.approx((counts[1] - counts[0]).mean())
    assert found.n_pairs == 20
    assert found.score_gap == 0.0


def test_the_intercept_is_that_of_least_squares():
    draws = np.random.default_rng(3)
    scores = (draws.normal(5, 1, 30), draws.normal(4, 1, 30))
    counts = (draws.normal(3, 1, 30), draws.normal(2, 1, 30))
    found = at_matched_margin(counts, scores, seed=0)
    moved = scores[1] - scores[0]
    slope, intercept = np.polyfit(moved, counts[1] - counts[0], 1)
    assert found.adjusted is not None
    assert found.adjusted.value == pytest.approx(intercept)
    rows = matched_rows(counts[0][:, None], counts[1][:, None], *scores)
    assert rows.adjusted is not None
    assert rows.adjusted.mean() == pytest.approx(intercept), "the rows of the test sum to it"
    residuals = counts[1] - counts[0] - intercept - slope * moved
    squares = ((moved - moved.mean()) ** 2).sum()
    error = np.sqrt((residuals**2).sum() / 28 * (1 / 30 + moved.mean() ** 2 / squares))
    assert found.spreads[1] == pytest.approx(error * np.sqrt(30))


def test_as_many_prompts_are_paired_as_can_be():
    """Against every assignment of five prompts."""
    for seed in range(20):
        draws = np.random.default_rng(seed)
        a, b = draws.normal(0, 1, 5), draws.normal(0.3, 1, 5)
        rows = matched_rows(np.zeros((5, 1)), np.ones((5, 1)), a, b)
        near = np.abs(a[:, None] - b) <= rows.caliper
        most = max(sum(near[i, j] for i, j in enumerate(one)) for one in permutations(range(5)))
        assert len(rows.matched) == most


def test_four_prompts_have_no_interval():
    scores = (np.array([1.0, 2, 3, 4]), np.array([1.5, 2, 2.5, 4]))
    found = at_matched_margin((np.array([1.0, 2, 2, 3]), np.array([2.0, 2, 2, 3])), scores, seed=0)
    assert found.adjusted is not None
    assert found.adjusted.method.startswith("none: fewer than 5")
