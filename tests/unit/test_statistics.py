import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats

from sae_audit.findings import ALL_ALIKE, FEW_CASES, UNDEFINED_WITHOUT_ONE, Estimate
from sae_audit.pages.wording import interval, percent
from sae_audit.statistics import (
    FEWEST_CASES,
    auroc,
    between_quantiles,
    jackknife,
    mean,
    mean_of_shares,
    median,
    random_range,
    rank_p_value,
    ratio,
    separation_p_value,
    share,
    share_difference,
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
        lambda: mean([]),
        lambda: ratio([], []),
        lambda: random_range([]),
        lambda: median([]),
        lambda: sign_flip_p_value([], seed=0),
    ):
        with pytest.raises(AssertionError):
            empty()


def test_the_median_is_covered_and_outliers_do_not_move_it():
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        cases = random.normal(size=41)
        cases[np.argmax(cases)] = 1e6
        found = median(cases)
        assert found.value == np.median(cases)
        hits += found.low <= 0.0 <= found.high
    assert hits / 200 >= 0.92


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_every_interval_holds_its_value(values: list[float]):
    ones = [1.0] * len(values)
    for found in (mean(values), median(values), ratio(values, ones)):
        assert found.low <= found.value <= found.high
        assert np.isfinite([found.low, found.high]).all() == (len(values) >= FEWEST_CASES)


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=30), st.floats(-9, 9))
def test_intervals_move_and_turn_with_their_cases(values: list[float], shift: float):
    cases = np.array(values)
    for number in (mean, median):
        found, moved, turned = number(cases), number(cases + shift), number(-cases)
        if ALL_ALIKE in (found.method, moved.method):
            continue
        assert moved.low == pytest.approx(found.low + shift, abs=1e-6)
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-6)


def test_symmetric_cases_have_the_interval_of_the_textbook():
    cases = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found, known = mean(cases), stats.ttest_1samp(cases, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((known.low, known.high))
    assert found.method == "t 95%, skewness-adjusted"


def test_a_long_tail_moves_the_bound_on_its_side():
    tailed = mean([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 6.0])
    known = stats.ttest_1samp([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 6.0], 0.0).confidence_interval(0.95)
    assert tailed.low == pytest.approx(known.low)
    assert tailed.high > known.high + 1.0


def test_limits_cut_an_interval_but_never_its_value():
    assert mean([0.0, 0.0, 0.0, 0.0, 1.0], within=(0.0, np.inf)).low == 0.0
    below = mean([-1e-9, 0.0, 0.0, 0.0, 0.0], within=(0.0, np.inf))
    assert below.low == below.value < 0.0


class TestMeanOfShares:
    def test_cases_of_0_or_1_are_counted(self):
        assert mean_of_shares([0.0, 1.0, 1.0]) == share(2, 3)
        assert mean_of_shares([0.0] * 40) == share(0, 40)

    def test_others_are_averaged_within_0_and_1(self):
        found = mean_of_shares([0.0, 0.0, 0.0, 0.0, 0.5])
        assert (found.value, found.low) == (pytest.approx(0.1), 0.0)
        assert found.high <= 1.0

    def test_what_is_no_share_is_refused(self):
        with pytest.raises(AssertionError):
            mean_of_shares([0.5, 1.5])


class TestShareDifference:
    @pytest.mark.parametrize(("gained", "lost", "n"), [(9, 1, 44), (2, 5, 12), (0, 3, 40)])
    def test_at_its_bounds_the_score_test_is_at_its_critical_value(
        self, gained: int, lost: int, n: int
    ):
        """The likeliest shares at that difference are searched here, not solved for."""
        found = share_difference(gained, lost, n)
        assert found.value == pytest.approx((gained - lost) / n)
        for bound in (found.low, found.high):
            losses = np.linspace(max(0.0, -bound), (1.0 - bound) / 2.0, 200_001)[1:-1]
            gains = losses + bound
            rest = 1.0 - losses - gains
            likely = gained * np.log(gains) + lost * np.log(losses)
            best = np.argmax(likely + (n - gained - lost) * np.log(rest))
            variance = (gains[best] + losses[best] - bound**2) / n
            assert abs(found.value - bound) / np.sqrt(variance) == pytest.approx(1.96, abs=1e-3)

    def test_no_switch_and_nothing_but_switches_have_a_width(self):
        none, all_ = share_difference(0, 0, 40), share_difference(0, 8, 8)
        assert none.low == pytest.approx(-none.high)
        assert none.high == pytest.approx(1.96**2 / (40 + 1.96**2), abs=1e-4)
        assert (all_.value, all_.low) == (-1.0, -1.0)
        assert -0.9 < all_.high < 0.0

    def test_it_mirrors(self):
        one, other = share_difference(3, 7, 20), share_difference(7, 3, 20)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


class TestRank:
    """The p-value of a number among numbers drawn under the null."""

    def test_it_counts_itself_and_ties_against_it(self):
        assert rank_p_value(5.0, [1.0, 2.0, 3.0]) == 1 / 4
        assert rank_p_value(3.0, [1.0, 2.0, 3.0]) == 2 / 4
        assert rank_p_value(0.0, [0.0] * 9) == 1.0
        assert rank_p_value(np.inf, [np.inf, 0.0]) == 2 / 3

    def test_nothing_to_compare_with_is_an_error(self):
        for null in ([], [np.nan]):
            with pytest.raises(AssertionError):
                rank_p_value(1.0, null)

    @given(st.lists(st.integers(0, 3), min_size=2, max_size=30))
    def test_of_exchangeable_draws_at_most_their_share_is_as_extreme(self, drawn: list[int]):
        """Each of the draws in turn against the others: the exact level at every p."""
        p = np.array([rank_p_value(own, drawn[:i] + drawn[i + 1 :]) for i, own in enumerate(drawn)])
        for level in p:
            assert (p <= level).mean() <= level + 1e-12


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
        found = ratio(below / 2, below)
        assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
        assert (found.n, found.method) == (20, ALL_ALIKE)

    def test_it_is_a_ratio_of_means_and_not_a_mean_of_ratios(self):
        assert ratio([1.0, 0.0], [1.0, 9.0]).value == pytest.approx(0.1)

    def test_of_equal_denominators_it_is_the_mean(self):
        cases = [0.3, 0.1, 0.7, 0.2, 0.2, 0.9]
        found, known = ratio(cases, [2.0] * 6), mean([one / 2.0 for one in cases])
        assert (found.low, found.high) == pytest.approx((known.low, known.high))

    def test_a_ratio_that_rests_on_one_case_has_no_interval(self):
        found = ratio([0.5, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        assert (found.value, found.method) == (0.5, UNDEFINED_WITHOUT_ONE)
        assert (found.low, found.high) == (-np.inf, np.inf)

    def test_the_interval_covers_the_ratio_as_often_as_it_says(self):
        random = np.random.default_rng(0)
        hits = 0
        for _ in range(200):
            below = random.normal(10.0, 2.0, size=40)
            found = ratio(0.3 * below + random.normal(size=40), below)
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
        groups = np.array([1.0, 2.0, 4.0, 9.0, 9.0])
        without = [float(np.delete(groups, i).mean()) for i in range(5)]
        found = jackknife(float(groups.mean()), without, n=40)
        reach = stats.t.ppf(0.975, 4) * groups.std(ddof=1) / np.sqrt(5)
        assert (found.value, found.low, found.high) == pytest.approx(
            (5.0, 5.0 - reach, 5.0 + reach)
        )
        assert (found.n, found.method) == (40, "jackknife 95%, 5 groups")

    def test_of_a_square_it_takes_off_the_bias(self):
        """The square of a mean is too large by the mean's variance: 9 - 10/5 of these."""
        groups = np.array([1.0, 2.0, 2.0, 3.0, 7.0])
        without = [float(np.delete(groups, i).mean() ** 2) for i in range(5)]
        found = jackknife(float(groups.mean() ** 2), without, n=5)
        assert found.value == pytest.approx(9.0 - groups.var(ddof=1) / 5)

    def test_it_stays_within_the_limits_of_its_number(self):
        found = jackknife(0.99, [0.98, 0.99, 0.9, 0.99, 0.99], n=50, within=(-1.0, 1.0))
        assert (found.value, found.high) == (1.0, 1.0)
        assert found.low < 0.99

    def test_below_five_groups_it_excludes_nothing(self):
        found = jackknife(1.0, [1.0, 1.1, 0.9, 1.0], n=40)
        assert (found.low, found.high) == (-np.inf, np.inf)
        assert interval(found) == "1.000 (4 groups of cases)"


class TestNoInterval:
    """Too few cases exclude nothing, whatever they are compared with; cases all alike say so."""

    def test_the_method_says_why(self):
        assert mean([3.0]).method == "none: one case"
        assert median([3.0, 3.0]).method == "none: fewer than 5 cases"
        assert median([3.0] * 5).method == "none: all cases alike"
        assert ratio([1.0], [2.0]).method == "none: one case"
        assert between_quantiles(0.5, np.array([0.4, 0.6]), n=4).method == FEW_CASES

    def test_no_comparison_with_a_bound_succeeds(self):
        for found in (mean([3.0, 3.0]), mean([3.0, 4.0, 5.0, 6.0]), median([3.0])):
            assert not found.has_interval
            for anything in (-1e300, 0.0, 1e300):
                assert not found.low > anything
                assert not found.high < anything

    def test_it_is_null_in_json_and_comes_back(self):
        kind = TypeAdapter(Estimate)
        found = mean([3.0, 4.0])
        written = kind.dump_python(found, mode="json")
        assert (written["low"], written["high"]) == (None, None)
        assert kind.validate_python(written) == found
        whole = mean([3.0, 4.0, 6.0, 7.0, 9.0])
        assert kind.validate_json(kind.dump_json(whole)) == whole

    def test_the_reader_is_told(self):
        assert interval(mean([3.0])) == "3.000 (one case)"
        assert interval(mean([0.4, 0.5]), percent) == "45% (fewer than 5 cases)"
        assert interval(mean([0.5] * 5), percent) == "50% (all cases alike)"
        assert interval(share(7, 7), percent) == "100% [65%, 100%]", "Wilson has one there too"
