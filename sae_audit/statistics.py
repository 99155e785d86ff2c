"""Estimates with intervals for shares, means and paired differences; each states its method and n.

Below five cases there is no interval, and an `Estimate` then excludes nothing. Coverage is measured in
`tests/unit/test_coverage_of_intervals.py`.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy import optimize, special, stats

from sae_audit.findings import (
    ALL_ALIKE,
    FEW_CASES,
    NO_INTERVAL,
    ONE_CASE,
    UNDEFINED_WITHOUT_ONE,
    Estimate,
    RandomRange,
)

FEWEST_CASES = 5
"""Smallest number of cases with an interval: Student's t holds for fewer only if they are normal."""
_LEVEL = 0.95
_ROUNDING = 1e-12
_LEAST_SPREAD = 1e-100
_ANYWHERE = (-math.inf, math.inf)


def _percent(level: float) -> str:
    return f"{100 * level:.4g}%"


def share(n_true: int, n: int) -> Estimate:
    """A share of independent cases, with Wilson's 95% interval (good at 0, at 1 and for small n)."""
    assert n > 0, "a share of no cases"
    assert 0 <= n_true <= n, (n_true, n)
    interval = stats.binomtest(n_true, n).proportion_ci(_LEVEL, method="wilson")
    return Estimate(
        value=n_true / n,
        low=float(interval.low),
        high=float(interval.high),
        n=n,
        method="Wilson 95%",
    )


def mean(
    values: Sequence[float] | Float[np.ndarray, " case"],
    *,
    within: tuple[float, float] = _ANYWHERE,
    level: float = _LEVEL,
) -> Estimate:
    """Mean of independent cases, with a skewness-adjusted t interval (95% if no other level is asked);
    none below five cases, or without spread.

    On each side the wider of Student's t and Hall's (1992) transformation of it: the first covers
    symmetric cases at any n, the second skewed ones. `within` are the limits of what a mean can be.
    """
    cases = _checked(values)
    method = f"t {_percent(level)}, skewness-adjusted"
    return _around(float(cases.mean()), cases, within=within, method=method, level=level)


def mean_of_shares(values: Sequence[float] | Float[np.ndarray, " case"]) -> Estimate:
    """Mean of shares, one for each case: Wilson's interval if all are 0 or 1, that of `mean` if not."""
    cases = _checked(values)
    assert ((cases >= 0.0) & (cases <= 1.0)).all(), cases
    if np.isin(cases, (0.0, 1.0)).all():
        return share(int(cases.sum()), cases.size)
    return mean(cases, within=(0.0, 1.0))


def median(values: Sequence[float] | Float[np.ndarray, " case"]) -> Estimate:
    """Median of independent cases, between two order statistics that hold it with at least 95% (with 94%
    if there are five cases) whatever the cases' distribution; none below five cases, or without spread.
    """
    cases = np.sort(_checked(values))
    value, n = float(np.median(cases)), cases.size
    if n < FEWEST_CASES or cases[0] == cases[-1]:
        return _without_interval(value, n)
    beyond, held = _beyond_median(n)
    return Estimate(
        value=value,
        low=float(cases[beyond]),
        high=float(cases[n - 1 - beyond]),
        n=n,
        method=f"order statistics {min(held, _LEVEL):.0%}",
    )


@cache
def _beyond_median(n: int) -> tuple[int, float]:
    """Number of cases beyond each bound of a median's interval, and how often that holds the median: all
    but twice P(Bin(n, 1/2) <= beyond) of the time."""
    beyond = max(int(stats.binom.ppf((1 - _LEVEL) / 2, n, 0.5)) - 1, 0)
    return beyond, 1.0 - 2.0 * float(stats.binom.cdf(beyond, n, 0.5))


def _checked(values: Sequence[float] | Float[np.ndarray, " case"]) -> Float[np.ndarray, " case"]:
    cases = np.asarray(values, dtype=np.float64)
    assert cases.size > 0, "a statistic of no cases"
    assert np.isfinite(cases).all(), cases
    return cases


def _around(
    value: float,
    cases: Float[np.ndarray, " case"],
    *,
    within: tuple[float, float],
    method: str,
    level: float = _LEVEL,
) -> Estimate:
    """A value with the interval of its cases' mean; the cases are those themselves, or pseudo-values."""
    n, largest = cases.size, max(abs(value), float(abs(cases).max()))
    # The smallest numbers have squares of 0.
    if n < FEWEST_CASES or np.ptp(cases) <= max(_ROUNDING * largest, _LEAST_SPREAD):
        return _without_interval(value, n)
    low, high = _skewness_adjusted(cases, level)
    return Estimate(
        value=value,
        low=min(max(low, within[0]), value),
        high=max(min(high, within[1]), value),
        n=n,
        method=method,
    )


def _skewness_adjusted(cases: Float[np.ndarray, " case"], level: float) -> tuple[float, float]:
    n, centre, spread = cases.size, float(cases.mean()), float(cases.std(ddof=1))
    reach = float(special.stdtrit(n - 1, (1 + level) / 2)) / math.sqrt(n)
    skewness = n / ((n - 1) * (n - 2)) * float((((cases - centre) / spread) ** 3).sum())

    def transformed(reach: float) -> float:
        """Hall's inverse of the cubic under which a studentized mean has no skewness."""
        if abs(skewness) < 1e-6:
            return reach
        inner = 1.0 + skewness * (reach - skewness / (6.0 * n))
        return 3.0 / skewness * (math.cbrt(inner) - 1.0)

    up, down = max(reach, -transformed(-reach)), max(reach, transformed(reach))
    return centre - spread * down, centre + spread * up


def no_interval(value: float, n: int, reason: str) -> Estimate:
    """A value that excludes nothing, with the reason: one that begins with `NO_INTERVAL`."""
    assert reason.startswith(NO_INTERVAL), reason
    return Estimate(value=value, low=-math.inf, high=math.inf, n=n, method=reason)


def _without_interval(value: float, n: int) -> Estimate:
    if n < FEWEST_CASES:
        return no_interval(value, n, ONE_CASE if n == 1 else FEW_CASES)
    return Estimate(value=value, low=value, high=value, n=n, method=ALL_ALIKE)


def ratio(
    numerators: Sequence[float] | Float[np.ndarray, " case"],
    denominators: Sequence[float] | Float[np.ndarray, " case"],
    *,
    within: tuple[float, float] = _ANYWHERE,
) -> Estimate:
    """The ratio of two means over the same cases, with an interval as `resampled_ratio`.

    The denominators' mean must be far from 0 (`mean(...).low`).
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    assert above.shape == below.shape, (above.shape, below.shape)
    return resampled_ratio(
        lambda times: times @ above,
        lambda times: times @ below,
        n=above.size,
        within=within,
    )


_Times = Float[np.ndarray, "draw case"]
"""Number of times each case was drawn."""


def resampled_ratio(
    numerator: Callable[[_Times], Float[np.ndarray, " draw"]],
    denominator: Callable[[_Times], Float[np.ndarray, " draw"]],
    *,
    n: int,
    within: tuple[float, float] = _ANYWHERE,
) -> Estimate:
    """The ratio of two sums over the same `n` cases, with a delete-one jackknife 95% interval: the
    interval of `mean` over the pseudo-values.

    The sums are functions of how often each case is drawn, and their ratio may not change if all are
    drawn equally more often.
    """
    assert n > 0, "a ratio of no cases"
    whole, without = np.ones((1, n)), 1.0 - np.eye(n)
    value = float(numerator(whole)[0] / denominator(whole)[0])
    assert math.isfinite(value), value
    if n < FEWEST_CASES:
        return _without_interval(value, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        again = numerator(without) / denominator(without)
    if not np.isfinite(again).all():
        return no_interval(value, n, UNDEFINED_WITHOUT_ONE)
    # Equal ratios are summed in another order each time.
    if np.ptp(again) <= _ROUNDING * abs(value):
        return _without_interval(value, n)
    pseudo_values = n * value - (n - 1) * again
    return _around(value, pseudo_values, within=within, method="jackknife 95%, skewness-adjusted")


def between_quantiles(value: float, resampled: Float[np.ndarray, " draw"], *, n: int) -> Estimate:
    """A value of `n` cases, with a bootstrap 95% interval from its values on resampled cases.

    The quantiles lie further out the fewer the cases are (Hesterberg 2015, "expanded percentile"):
    resampled means spread too little by sqrt((n - 1) / n), and that spread is itself an estimate,
    for which Student's t allows. For two groups of cases `n` is the smaller one's. None below
    five cases, or without spread.
    """
    assert np.isfinite(value), value
    assert np.isfinite(resampled).all(), "a resample has no value"
    # Beyond rounding: equal ratios are summed in another order each time.
    if n < FEWEST_CASES or np.ptp(resampled) <= _ROUNDING * abs(value):
        return _without_interval(value, n)
    reach = stats.t.ppf((1 + _LEVEL) / 2, n - 1) * math.sqrt(n / (n - 1))
    low, high = np.quantile(resampled, stats.norm.cdf([-reach, reach]))
    return Estimate(value=value, low=float(low), high=float(high), n=n, method="bootstrap 95%")


def jackknife(
    value: float,
    without: Sequence[float],
    *,
    n: int,
    within: tuple[float, float] = _ANYWHERE,
    level: float = _LEVEL,
) -> Estimate:
    """A number of `n` cases, with a delete-a-group jackknife interval (Kott 2001; 95% if no other level
    is asked) from its values without each group of cases; none below five groups, which are of about
    equal size.

    The jackknife's estimate of the bias, `(m - 1) (mean of the m values - value)`, is taken off the
    value and its interval (Quenouille 1956), which stay `within` the limits of such a number.
    """
    again, m = np.asarray(without, dtype=np.float64), len(without)
    assert m > 1, "a jackknife of one group"
    assert np.isfinite([value, *again]).all(), (value, without)
    corrected = value - (m - 1) * (float(again.mean()) - value)
    corrected = min(max(corrected, within[0]), within[1])
    if m < FEWEST_CASES:
        return no_interval(corrected, n, f"{NO_INTERVAL}{m} groups of cases")
    error = np.sqrt((m - 1) / m * ((again - again.mean()) ** 2).sum())
    reach = float(stats.t.ppf((1 + level) / 2, m - 1) * error)
    return Estimate(
        value=corrected,
        low=max(corrected - reach, within[0]),
        high=min(corrected + reach, within[1]),
        n=n,
        method=f"jackknife {_percent(level)}, {m} groups",
    )


def share_difference(n_gained: int, n_lost: int, n: int, *, level: float = _LEVEL) -> Estimate:
    """Difference of two shares of the same `n` cases, of which `n_gained` are only in the second and
    `n_lost` only in the first: Tango's (1998) score interval, at 95% if no other level is asked.

    It has a width above 0 if no case, or every case, differs.
    """
    low, high = share_difference_bounds(n_gained, n_lost, n, level=level)
    return Estimate(
        value=(n_gained - n_lost) / n,
        low=low,
        high=high,
        n=n,
        method=f"Tango {_percent(level)}",
    )


def share_difference_bounds(
    n_gained: float, n_lost: float, n: float, *, level: float = _LEVEL
) -> tuple[float, float]:
    """Both ends of that interval. Numbers of cases need not be whole: so it is said how many cases
    would do if the same shares were lost and gained."""
    assert n > 0, "a difference over no cases"
    assert min(n_gained, n_lost) >= 0, (n_gained, n_lost)
    assert n_gained + n_lost <= n, (n_gained, n_lost, n)
    value, z = (n_gained - n_lost) / n, float(stats.norm.ppf((1 + level) / 2))

    def score(difference: float) -> float:
        # Share of losses that is likeliest if this is the difference.
        a = 2.0 * n
        b = -n_gained - n_lost + (2.0 * n - n_gained + n_lost) * difference
        c = -n_lost * difference * (1.0 - difference)
        lost = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
        variance = n * (2.0 * lost + difference * (1.0 - difference))
        off = n_gained - n_lost - n * difference
        if variance > 0.0 or off == 0.0:
            return off / math.sqrt(variance) if off else 0.0
        return math.copysign(math.inf, off)

    edge = 1.0 - 1e-12
    low = (
        optimize.brentq(lambda d: score(d) - z, -edge, value)
        if value > -edge and score(-edge) > z
        else -1.0
    )
    high = (
        optimize.brentq(lambda d: score(d) + z, value, edge)
        if value < edge and score(edge) < -z
        else 1.0
    )
    return float(low), float(high)


def random_range(values: Sequence[float]) -> RandomRange:
    """Mean and range of a number over random directions, sets or permutations."""
    assert values, "the range of no random direction"
    return RandomRange(
        mean=float(np.mean(values)), lowest=min(values), highest=max(values), n=len(values)
    )


def sign_flip_p_value(
    differences: Sequence[float] | Float[np.ndarray, " case"], *, seed: int
) -> float:
    """Two-sided permutation p-value of the null that paired differences have mean zero.

    Signs are flipped at random (in all ways if at most 2^12). Never 0: the data count as one.
    """
    cases = np.asarray(differences, dtype=np.float64)
    assert cases.size > 0, "no pair"
    if cases.size <= 12:
        codes = np.arange(2**cases.size)[:, None] >> np.arange(cases.size) & 1
        signs = 1.0 - 2.0 * codes
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (10_000, cases.size))
        signs[0] = 1.0
    permuted = np.abs((signs * cases).mean(axis=1))
    # A tolerance, or rounding would tell a permutation from its own mirror image.
    return float((permuted >= abs(cases.mean()) - 1e-12).mean())


def auroc(
    positive: Sequence[float] | Float[np.ndarray, " positive"],
    negative: Sequence[float] | Float[np.ndarray, " negative"],
) -> Estimate:
    """Probability that a positive case scores above a negative one, ties counted half, with Newcombe's
    95% interval.

    The interval inverts a score test whose variance is Hanley and McNeil's, the group sizes in it
    averaged (Newcombe 2006, method 5): unlike a bootstrap's, its width is above 0 at shares of 0 and 1.
    """
    above, m, n = _above(positive, negative)
    value, z, size = above / (m * n), float(stats.norm.ppf((1 + _LEVEL) / 2)), (m + n) / 2 - 1

    def reach(share: float) -> float:
        spread = (1 - share) / (2 - share) + share / (1 + share)
        return z * np.sqrt(share * (1 - share) * (1 + size * spread) / (m * n))

    # 0 and 1 solve both equations too, but are not the bounds.
    inner = min(max(value, 1e-12), 1.0 - 1e-12)
    low = optimize.brentq(lambda s: s + reach(s) - value, 0.0, inner) if value > 0.0 else 0.0
    high = optimize.brentq(lambda s: s - reach(s) - value, inner, 1.0) if value < 1.0 else 1.0
    return Estimate(value=value, low=float(low), high=float(high), n=m + n, method="Newcombe 95%")


def separation_p_value(
    positive: Sequence[float] | Float[np.ndarray, " positive"],
    negative: Sequence[float] | Float[np.ndarray, " negative"],
    *,
    seed: int,
) -> float:
    """One-sided permutation p-value of the null that positive cases score no higher than negative ones.

    The statistic is the rank sum; labels are permuted 10,000 times. Never 0: the data count as one.
    """
    above, m, _ = _above(positive, negative)
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    permuted = np.random.default_rng(seed).permuted(np.tile(ranks, (10_000, 1)), axis=1)[:, :m]
    least = above + m * (m + 1) / 2
    # Ranks are multiples of a half, so the sums are exact.
    return float((1 + (permuted.sum(axis=1) >= least).sum()) / 10_001)


def rank_p_value(value: float, null: Sequence[float] | Float[np.ndarray, " null"]) -> float:
    """One-sided p-value of a value among values drawn under the null: the share of all of them, its own
    included, that are at least as large.

    Ties count against the value. Never below 1/(K + 1) for K null values. If the value is one more draw
    of the same kind, P(p <= a) <= a at any a and K, whatever the draws have in common.
    """
    drawn = np.asarray(null, dtype=np.float64)
    assert drawn.size > 0, "a rank among nothing"
    assert not np.isnan([value, *drawn]).any(), (value, null)
    return float((1 + (drawn >= value).sum()) / (drawn.size + 1))


def sign_test_p_value(n_for: int, n_against: int) -> float:
    """One-sided exact p-value of the null that untied pairs favour the first no more often than the
    second; 1 if every pair is tied."""
    n = n_for + n_against
    return float(stats.binomtest(n_for, n, alternative="greater").pvalue) if n else 1.0


def _above(
    positive: Sequence[float] | Float[np.ndarray, " positive"],
    negative: Sequence[float] | Float[np.ndarray, " negative"],
) -> tuple[float, int, int]:
    """Number of pairs in which the positive case scores higher, ties counted half; both group sizes."""
    m, n = len(positive), len(negative)
    assert m > 0, "no positive case"
    assert n > 0, "no negative case"
    scores = np.concatenate([positive, negative])
    assert np.isfinite(scores).all(), scores
    return float(stats.rankdata(scores)[:m].sum()) - m * (m + 1) / 2, m, n
