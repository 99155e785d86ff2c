"""Whether a prompt's two minimal sets are more alike than two prompts' sets.

All pairs of prompts share the same sets, so neither the overlaps nor their row means are independent:
the null permutes whole sets (Mantel 1967), the interval leaves out whole prompts.
"""

from collections.abc import Set

import numpy as np
from jaxtyping import Float

from sae_audit.findings import NO_INTERVAL, Estimate
from sae_audit.statistics import jackknife

_PERMUTATIONS = 4000
_FEWEST = 5

_Overlaps = Float[np.ndarray, "prompt prompt"]


def jaccard(one: Set[object], other: Set[object]) -> float:
    """Shared elements as a share of all."""
    union = one | other
    assert union, "two empty sets"
    return len(one & other) / len(union)


def beyond_shuffled(overlaps: _Overlaps, *, seed: int) -> tuple[Estimate, float]:
    """Mean overlap of a prompt's own two sets minus that with the sets of other prompts, and the
    one-sided p-value of the null that the second sets could as well belong to other prompts.

    Rows are prompts in the parent, columns prompts in the variant.
    """
    n = len(overlaps)
    value, p_value = _beyond(overlaps), _p_value(overlaps, seed)
    if n < _FEWEST:
        method = f"{NO_INTERVAL}fewer than {_FEWEST} prompts"
        return Estimate(value=value, low=value, high=value, n=n, method=method), p_value
    kept = [np.arange(n) != i for i in range(n)]
    return jackknife(value, [_beyond(overlaps[np.ix_(k, k)]) for k in kept], n=n), p_value


def _beyond(overlaps: _Overlaps) -> float:
    n, own = len(overlaps), float(np.trace(overlaps))
    return own / n - (float(overlaps.sum()) - own) / (n * (n - 1))


def _p_value(overlaps: _Overlaps, seed: int) -> float:
    n, draws = len(overlaps), np.random.default_rng(seed)
    orders = draws.permuted(np.tile(np.arange(n), (_PERMUTATIONS, 1)), axis=1)
    # A tolerance, or rounding would tell equal sums apart.
    as_large = overlaps[np.arange(n), orders].sum(axis=1) >= float(np.trace(overlaps)) - 1e-9
    return float((1 + as_large.sum()) / (_PERMUTATIONS + 1))
