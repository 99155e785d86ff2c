import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sae_audit.pages.wording import interval, percent
from sae_audit.statistics import (
    auroc,
    jackknife,
    mean,
    median,
    random_range,
    ratio,
    separation_p_value,
    share,
    sign_flip_p_value,
    sign_test_p_value,
)


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
        lambda: ratio([], [], seed=0),
        lambda: random_range([]),
        lambda: median([], seed=0),
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


class TestSeparation:
    def test_auroc_is_the_share_of_pairs(self):
        assert auroc([1.0, 3.0], [2.0, 0.0]).value == 0.75
        assert auroc([1.0, 1.0], [1.0]).value == 0.5, "ties count half"

    def test_its_interval_has_a_width_at_one_and_mirrors_at_zero(self):
        one, zero = auroc(range(40, 80), range(40)), auroc(range(40), range(40, 80))
        assert (one.value, one.high) == (1.0, 1.0)
        assert 0.9 < one.low < 0.97
        assert zero.high == pytest.approx(1.0 - one.low)

    def test_its_interval_covers(self):
        """Normal scores a distance apart: the true AUROC is known."""
        random = np.random.default_rng(0)
        true = stats.norm.cdf(1.2 / np.sqrt(2))
        covered = [
            (found := auroc(random.normal(1.2, 1, 25), random.normal(0, 1, 25))).low
            <= true
            <= found.high
            for _ in range(300)
        ]
        assert 0.92 <= np.mean(covered) <= 0.99

    def test_the_p_value_is_that_of_all_dealings(self):
        assert separation_p_value([5, 6, 7, 8], [1, 2, 3, 4], seed=0) == pytest.approx(
            1 / 70, rel=0.2
        )
        assert separation_p_value([1, 2], [1, 2], seed=0) > 0.3
        assert separation_p_value([1, 2, 3, 4], [5, 6, 7, 8], seed=0) == 1.0, "one-sided"

    def test_the_p_value_keeps_its_level(self):
        random = np.random.default_rng(1)
        p_values = [
            separation_p_value(random.normal(size=12), random.normal(size=12), seed=0)
            for _ in range(150)
        ]
        assert np.mean(np.array(p_values) <= 0.1) < 0.18

    def test_signs(self):
        assert sign_test_p_value(6, 0) == pytest.approx(1 / 64)
        assert sign_test_p_value(0, 6) == 1.0
        assert sign_test_p_value(0, 0) == 1.0


class TestJackknife:
    def test_of_a_mean_it_is_the_standard_error_of_the_groups(self):
        groups = np.array([1.0, 2.0, 4.0, 9.0])
        without = [float(np.delete(groups, i).mean()) for i in range(4)]
        found = jackknife(float(groups.mean()), without, n=40)
        reach = stats.t.ppf(0.975, 3) * groups.std(ddof=1) / 2.0
        assert (found.low, found.high) == pytest.approx((4.0 - reach, 4.0 + reach))
        assert (found.n, found.method) == (40, "jackknife 95%, 4 groups")

    def test_the_interval_covers_a_cosine_as_often_as_it_says(self):
        """Between two means of ten groups, each around a vector of its own."""
        draws, covered = np.random.default_rng(0), 0
        a, b = np.array([3.0, 0.0, 0.0]), np.array([2.0, 2.0, 0.0])

        def cosine(own: np.ndarray, other: np.ndarray) -> float:
            own, other = own.mean(axis=0), other.mean(axis=0)
            return float(own @ other / np.linalg.norm(own) / np.linalg.norm(other))

        for _ in range(300):
            own, other = a + draws.normal(size=(10, 3)), b + draws.normal(size=(10, 3))
            without = [cosine(np.delete(own, i, 0), np.delete(other, i, 0)) for i in range(10)]
            found = jackknife(cosine(own, other), without, n=10)
            covered += found.low < np.sqrt(0.5) < found.high
        assert 0.91 <= covered / 300 <= 0.99


class TestNoSpread:
    """Cases that are all alike give no interval, and do not pretend to one."""

    def test_one_case_or_cases_all_alike_say_so(self):
        assert mean([3.0], seed=0).method == "none: one case"
        assert median([3.0, 3.0], seed=0).method == "none: all cases alike"
        assert mean([3.0, 4.0], seed=0).method == "bootstrap 95%"
        assert ratio([1.0], [2.0], seed=0).method == "none: one case"

    def test_the_reader_is_told(self):
        assert interval(mean([3.0], seed=0)) == "3.000 (one case)"
        assert interval(mean([0.5, 0.5], seed=0), percent) == "50% (all cases alike)"
        assert interval(share(7, 7), percent) == "100% [65%, 100%]", "Wilson has one there too"
