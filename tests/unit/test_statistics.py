import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.statistics import mean, median, random_range, ratio, share, sign_flip_p_value


def test_wilson_as_in_the_textbook():
    """Wilson's interval for 8 of 10: 49.0% to 94.3%."""
    found = share(8, 10)
    assert (found.value, found.n) == (0.8, 10)
    assert found.low == pytest.approx(0.490, abs=0.001)
    assert found.high == pytest.approx(0.943, abs=0.001)


def test_a_share_of_all_does_not_pretend_certainty():
    assert share(40, 40).low == pytest.approx(0.912, abs=0.001)
    assert share(0, 40).high == pytest.approx(0.088, abs=0.001)


def test_empty_input_is_an_error_and_never_zero():
    for empty in (
        lambda: share(0, 0),
        lambda: mean([], seed=0),
        lambda: median([], seed=0),
        lambda: ratio([], [], seed=0),
        lambda: random_range([]),
        lambda: sign_flip_p_value([], seed=0),
    ):
        with pytest.raises(AssertionError):
            empty()


def test_the_bootstrap_covers_the_median_too_and_outliers_do_not_move_it():
    random = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        cases = random.normal(size=41)
        cases[np.argmax(cases)] = 1e6
        found = median(cases, seed=i)
        assert found.value == np.median(cases)
        hits += found.low <= 0.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_bootstrap_covers_the_mean_as_often_as_it_says():
    random = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        found = mean(random.normal(size=40), seed=i)
        hits += found.low <= 0.0 <= found.high
    assert 0.90 <= hits / 200 <= 0.98


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.integers(0, 99))
def test_the_interval_holds_the_mean(values: list[float], seed: int):
    found = mean(values, seed=seed)
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9


def test_all_signs_of_few_pairs_are_tried():
    """Five equal differences: only all plus and all minus are as extreme, 2 of 32."""
    assert sign_flip_p_value([1.0] * 5, seed=0) == pytest.approx(2 / 32)


def test_no_difference_is_no_evidence():
    assert sign_flip_p_value([0.0] * 30, seed=0) == 1.0


def test_a_clear_difference_is_evidence_but_never_certainty():
    assert 0.0 < sign_flip_p_value([1.0] * 40, seed=0) < 0.001


class TestRatio:
    def test_what_moves_both_means_moves_them_together(self):
        """Cases differ a hundredfold, the ratio of each is one half: so is that of every resample."""
        below = np.geomspace(1.0, 100.0, 20)
        found = ratio(below / 2, below, seed=0)
        assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
        assert found.n == 20

    def test_it_is_a_ratio_of_means_and_not_a_mean_of_ratios(self):
        assert ratio([1.0, 0.0], [1.0, 9.0], seed=0).value == pytest.approx(0.1)

    def test_the_interval_covers_the_ratio_as_often_as_it_says(self):
        random = np.random.default_rng(0)
        hits = 0
        for i in range(200):
            below = random.normal(10.0, 2.0, size=40)
            found = ratio(0.3 * below + random.normal(size=40), below, seed=i)
            hits += found.low <= 0.3 <= found.high
        assert 0.90 <= hits / 200 <= 0.98


def test_a_range_over_random_stand_ins():
    found = random_range([0.2, 0.1, 0.6])
    assert (found.mean, found.lowest, found.highest, found.n) == pytest.approx((0.3, 0.1, 0.6, 3))
