"""Estimates with intervals for shares, means and paired differences; each states its method and n."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from sae_audit.findings import ALL_ALIKE, ONE_CASE, Estimate, RandomRange

_LEVEL = 0.95
_RESAMPLES = 4000
_ROUNDING = 1e-12


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


def mean(values: Sequence[float] | Float[np.ndarray, " case"], *, seed: int) -> Estimate:
    """Mean of independent cases, with a bootstrap 95% percentile interval; none without spread."""
    return _bootstrapped(values, lambda cases: cases.mean(axis=-1), seed=seed)


def median(values: Sequence[float] | Float[np.ndarray, " case"], *, seed: int) -> Estimate:
    """Median of independent cases, with a bootstrap 95% percentile interval; none without spread."""
    return _bootstrapped(values, lambda cases: np.median(cases, axis=-1), seed=seed)


def _bootstrapped(
    values: Sequence[float] | Float[np.ndarray, " case"],
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
) -> Estimate:
    cases = np.asarray(values, dtype=np.float64)
    assert cases.size > 0, "a statistic of no cases"
    assert np.isfinite(cases).all(), cases
    value = float(statistic(cases))
    if (cases == cases[0]).all():
        return _without_spread(value, cases.size)
    drawn = np.random.default_rng(seed).integers(0, cases.size, (_RESAMPLES, cases.size))
    return between_quantiles(value, statistic(cases[drawn]), n=cases.size)


def _without_spread(value: float, n: int) -> Estimate:
    method = ONE_CASE if n == 1 else ALL_ALIKE
    return Estimate(value=value, low=value, high=value, n=n, method=method)


def ratio(
    numerators: Sequence[float] | Float[np.ndarray, " case"],
    denominators: Sequence[float] | Float[np.ndarray, " case"],
    *,
    seed: int,
) -> Estimate:
    """The ratio of two means over the same cases, with a percentile bootstrap 95% interval.

    Cases are resampled whole. The denominators' mean must be far from 0 (`mean(...).low`).
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    assert above.shape == below.shape, (above.shape, below.shape)
    return resampled_ratio(
        lambda times: times @ above, lambda times: times @ below, n=above.size, seed=seed
    )


_Times = Float[np.ndarray, "draw case"]
"""Number of times each case was drawn."""


def resampled_ratio(
    numerator: Callable[[_Times], Float[np.ndarray, " draw"]],
    denominator: Callable[[_Times], Float[np.ndarray, " draw"]],
    *,
    n: int,
    seed: int,
) -> Estimate:
    """The ratio of two sums over the same `n` cases, with a percentile bootstrap 95% interval; the sums
    are functions of how often each case is drawn."""
    assert n > 0, "a ratio of no cases"
    once = np.ones((1, n))
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), _RESAMPLES)
    times = times.astype(np.float64)
    value = float(numerator(once)[0] / denominator(once)[0])
    return between_quantiles(value, numerator(times) / denominator(times), n=n)


def between_quantiles(value: float, resampled: Float[np.ndarray, " draw"], *, n: int) -> Estimate:
    """A value of `n` cases, with the central 95% of its values on resampled cases."""
    assert np.isfinite(value), value
    assert np.isfinite(resampled).all(), "a resample has no value"
    # Beyond rounding: equal ratios are summed in another order each time.
    if n == 1 or np.ptp(resampled) <= _ROUNDING * abs(value):
        return _without_spread(value, n)
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=n, method="bootstrap 95%")


def jackknife(value: float, without: Sequence[float], *, n: int) -> Estimate:
    """A number of `n` cases, with a delete-a-group jackknife 95% interval (Kott 2001) from its values
    without each group of cases. There are at least two groups, of about equal size."""
    again, m = np.asarray(without, dtype=np.float64), len(without)
    assert m > 1, "a jackknife of one group"
    assert np.isfinite([value, *again]).all(), (value, without)
    error = np.sqrt((m - 1) / m * ((again - again.mean()) ** 2).sum())
    reach = float(stats.t.ppf((1 + _LEVEL) / 2, m - 1) * error)
    return Estimate(
        value=value, low=value - reach, high=value + reach, n=n, method=f"jackknife 95%, {m} groups"
    )


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
