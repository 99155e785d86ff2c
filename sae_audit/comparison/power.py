"""Smallest change that a paired test finds with 80% probability.

A test that shows no change is silent on how large a change it would have missed; these say it. Of
shares exactly, by the binomial distribution; of means by the sign-flip test itself on simulated normal
differences with the spread of the real ones, and above 15 pairs, where the two agree within 4%, by the
noncentral t distribution.
"""

from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from sae_audit.comparison.testing import fewest_switches, sign_flips

POWER = 0.8
_SIMULATED = 15
"""Largest number of pairs whose power is simulated."""
_DRAWS = 1000
_FLIPS = 2000


def smallest_share(n: int, n_needed: int, power: float = POWER) -> float | None:
    """Smallest probability of each of `n` cases with which at least `n_needed` come about with the
    given power; None if there are not as many cases."""
    if n_needed > n:
        return None
    return float(stats.beta.ppf(power, n_needed, n - n_needed + 1))


def smallest_switching_share(n: int, level: float, power: float = POWER) -> float | None:
    """Smallest share of `n` prompts that switch, all one way, which an exact paired test finds at the
    level; None if it would not find it if all switched."""
    return smallest_share(n, fewest_switches(level), power)


@lru_cache(maxsize=4096)
def smallest_shift(n: int, level: float, power: float = POWER) -> float | None:
    """Smallest shift of `n` paired differences, in units of their standard deviation, that the
    two-sided sign-flip test finds at the level; None if it would find none however large."""
    if 2.0 ** (1 - n) > level:
        return None
    return _simulated(n, level, power) if n <= _SIMULATED else _by_t(n, level, power)


def _by_t(n: int, level: float, power: float) -> float:
    critical = stats.t.isf(level / 2, n - 1)
    reached = optimize.brentq(
        lambda shift: stats.nct.sf(critical, n - 1, shift) - power, 0.0, critical + 10.0
    )
    return float(reached) / float(np.sqrt(n))


def _simulated(n: int, level: float, power: float) -> float:
    draws = np.random.default_rng(n).normal(size=(_DRAWS, n))
    signs = sign_flips(n, n, n_random=_FLIPS)
    # A sign pattern and its mirror image give the same absolute mean.
    signs = signs[signs[:, -1] > 0.0] if 2**n == len(signs) else signs
    flipped, moved = draws @ signs.T, signs.sum(axis=1)
    total = draws.sum(axis=1)

    def found(shift: float) -> float:
        own = np.abs(total + n * shift) - 1e-9
        p_values = (np.abs(flipped + shift * moved) >= own[:, None]).mean(axis=1)
        return float((p_values <= level).mean())

    low, high = 0.0, 8.0
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return high
