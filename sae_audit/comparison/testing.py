"""The tests of one comparison, corrected together.

1. A test that even the clearest change of its `n` pairs could not make significant says nothing, and is
   left out *before* its result is looked at: by `n` alone, so that the others keep their level.
2. Holm's correction (1979) over all that are left: at most 5% of comparisons of checkpoints that do not
   differ name any change at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from sae_audit.comparison.types import LEVEL, Detectable, Tested

_EXACT = 12
"""Number of pairs up to which all ways to flip signs are taken, as by `sign_flip_p_value`."""
_FLIPS = 10_000


@dataclass(frozen=True, kw_only=True)
class Test:
    """A test before its correction."""

    __test__ = False

    name: str
    n: int
    """Number of pairs."""
    p_value: float
    smallest_p: float
    """Smallest p-value that this many pairs can give."""
    could_show: Callable[[float], Detectable]
    """Smallest change that it detects at a level."""


def smallest_p(n: int) -> float:
    """Smallest p-value of a two-sided sign-flip test of `n` pairs: that of pairs that all changed one
    way. Signs drawn at random give no smaller one than one in their number."""
    return max(2.0 ** (1 - n), 1 / _FLIPS) if n > 0 else 1.0


def can_be_significant(smallest: Sequence[float]) -> Bool[np.ndarray, " test"]:
    """Which tests enter: as many as possible, the sharpest first, so that each can still reach 5% when
    it is corrected for all that enter. Tests that are equally sharp enter together or not at all."""
    ordered = sorted(smallest)
    fitting = [
        p for p in ordered if p * sum(other <= p for other in ordered) <= LEVEL * (1 + 1e-12)
    ]
    largest = max(fitting, default=-1.0)
    return np.array([p <= largest for p in smallest], dtype=bool)


def corrected(tests: Sequence[Test]) -> Mapping[str, Tested]:
    """Each test by its name, after Holm's correction over those that can be significant."""
    enters = can_be_significant([test.smallest_p for test in tests])
    m, worst, found = int(enters.sum()), 0.0, dict[str, Tested]()
    entering = [test for test, one in zip(tests, enters, strict=True) if one]
    for rank, test in enumerate(sorted(entering, key=lambda one: one.p_value)):
        worst = max(worst, min(1.0, test.p_value * (m - rank)))
        found[test.name] = Tested(
            name=test.name,
            n=test.n,
            p_value=test.p_value,
            smallest_p=test.smallest_p,
            level=LEVEL / (m - rank),
            corrected_p=worst,
            # The level that each test has whatever the others say: Holm's first.
            could_show=test.could_show(LEVEL / m),
        )
    for test, one in zip(tests, enters, strict=True):
        if not one:
            found[test.name] = Tested(
                name=test.name,
                n=test.n,
                p_value=test.p_value,
                smallest_p=test.smallest_p,
                level=None,
                corrected_p=None,
                could_show=None,
            )
    return {test.name: found[test.name] for test in tests}


def fewest_pairs(n_others: int) -> int:
    """Fewest pairs with which one more test could be significant beside `n_others`."""
    return next(n for n in range(1, 64) if smallest_p(n) * (n_others + 1) <= LEVEL)


def fewest_switches(level: float) -> int:
    """Fewest switches, all one way, that an exact test of paired shares calls significant."""
    # A tolerance, or rounding would ask one more where the p-value is the level itself.
    return int(np.ceil(1 - log2(level) - 1e-9))


def switches_p_value(n_down: int, n_up: int) -> float:
    """Two-sided exact p-value of the null that a switch is as likely down as up (McNemar); equal to
    that of flipping all signs of differences of -1, 0 and 1."""
    n = n_down + n_up
    return float(stats.binomtest(n_down, n, 0.5).pvalue) if n else 1.0


def sign_flips(n: int, seed: int, *, n_random: int = _FLIPS) -> Float[np.ndarray, "flip case"]:
    """Signs for `n` pairs, the data's own first: all ways up to twelve pairs, else some at random."""
    if n <= _EXACT:
        return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (n_random, n))
    signs[0] = 1.0
    return signs


def largest_p_values(
    rows: Float[np.ndarray, "case column"], signs: Float[np.ndarray, "flip case"]
) -> Float[np.ndarray, " column"]:
    """P-values of each column's mean, corrected for all columns (Westfall and Young 1993): how often
    the largest mean of any column, signs of whole cases flipped, is as large."""
    largest = np.abs(signs @ rows).max(axis=1)
    own = np.abs(rows.sum(axis=0))
    # A tolerance, or rounding would tell a flip from its own mirror image.
    return (largest[:, None] >= own - 1e-9).mean(axis=0)
