"""Intervals for shares, means and paired differences; every one says its method and its n."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from sae_audit.findings import Estimate, RandomRange

_LEVEL = 0.95
_RESAMPLES = 4000


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
    """A mean over independent cases, with a percentile bootstrap 95% interval."""
    return _bootstrapped(values, lambda cases: cases.mean(axis=-1), seed=seed)


def median(values: Sequence[float] | Float[np.ndarray, " case"], *, seed: int) -> Estimate:
    """A median over independent cases, with a percentile bootstrap 95% interval."""
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
    drawn = np.random.default_rng(seed).integers(0, cases.size, (_RESAMPLES, cases.size))
    low, high = np.quantile(statistic(cases[drawn]), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(
        value=float(statistic(cases)),
        low=float(low),
        high=float(high),
        n=cases.size,
        method="bootstrap 95%",
    )


def ratio(
    numerators: Sequence[float] | Float[np.ndarray, " case"],
    denominators: Sequence[float] | Float[np.ndarray, " case"],
    *,
    seed: int,
) -> Estimate:
    """A mean over another mean of the same cases, with a percentile bootstrap 95% interval.

    Cases are resampled whole, so what moves both means moves them together. The caller has made
    sure that the denominators' mean is far from 0 (`mean(...).low`).
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    assert above.shape == below.shape, (above.shape, below.shape)
    assert above.size > 0, "a ratio of no cases"
    drawn = np.random.default_rng(seed).integers(0, above.size, (_RESAMPLES, above.size))
    return between_quantiles(
        float(above.mean() / below.mean()),
        above[drawn].mean(axis=1) / below[drawn].mean(axis=1),
        n=above.size,
    )


def between_quantiles(value: float, resampled: Float[np.ndarray, " draw"], *, n: int) -> Estimate:
    """A value of `n` cases with the central 95% of what it was on resampled cases."""
    assert np.isfinite(value), value
    assert np.isfinite(resampled).all(), "a resample has no value"
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=n, method="bootstrap 95%")


def random_range(values: Sequence[float]) -> RandomRange:
    """Mean and range of a number over random directions."""
    assert values, "the range of no random direction"
    return RandomRange(
        mean=float(np.mean(values)), lowest=min(values), highest=max(values), n=len(values)
    )


def sign_flip_p_value(
    differences: Sequence[float] | Float[np.ndarray, " case"], *, seed: int
) -> float:
    """Two-sided permutation p-value that paired differences have mean zero.

    Signs are flipped at random (all ways where at most 2^12); never exactly 0: the data themselves
    count as one permutation.
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
