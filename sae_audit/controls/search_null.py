"""Minimal sets compared with the null of their search: whole pools of random features.

Null hypothesis: the candidates are one more pool of as many features, of the same layers and firing
rates, picked without regard to what they do.

1. Whole pools are drawn once, and each is used for all refused prompts, as the candidates are. So what
   prompts have in common counts once: it is the pool that is lucky or not.
2. A pool's statistic is the number of prompts that ablating all of it flips. If none, or fewer than the
   candidates, no search among its features could do better.
3. Pools that flip as many are told apart by the search itself, certificate included, on the first few
   refused prompts: the statistic is raised by one over the median size of a set there, at most by 1.
4. The p-value is the rank of the candidates' statistic among the pools', ties counted against them.

The candidates are taken as they were before any pool was widened: widening adds what has an effect,
wherever it is, so that a widened random pool would hold the mechanism too, and one that is not widened
would be no equal. A prompt that only a widened pool flips counts as not flipped.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.findings import (
    Absence,
    AbsenceKind,
    MinimalSet,
    NullScores,
    SearchNull,
    WidenedPool,
)
from sae_audit.margins import answers
from sae_audit.statistics import rank_p_value, share

N_SEARCHED = 6
"""Number of refused prompts, the first ones, on which pools that flip equally many are searched."""


def tied_pools(candidates: Sequence[WidenedPool], null: Sequence[NullScores]) -> list[int]:
    """Pools that flip as many prompts as the candidates do, if those flip any."""
    own, random = _flips(candidates, null)
    n = int(own.sum())
    return np.flatnonzero(random.sum(axis=0) == n).tolist() if n else []


def against_null(
    minimal_sets: Sequence[MinimalSet],
    candidates: Sequence[WidenedPool],
    null: Sequence[NullScores],
    sizes: Mapping[int, Sequence[int]],
    *,
    margin: float,
) -> SearchNull:
    """The candidates' statistic among those of the pools, on the same refused prompts.

    `candidates` hold the score of each prompt with all candidates ablated, `null` the scores with each
    pool ablated, and `sizes` those of the sets found in each tied pool on the first `N_SEARCHED`
    prompts, 0 where none flips.
    """
    assert minimal_sets, "no prompt was refused"
    ids = [found.prompt_id for found in minimal_sets]
    assert ids == [one.prompt_id for one in candidates] == [one.prompt_id for one in null], (
        "unpaired"
    )
    assert list(sizes) == tied_pools(candidates, null), "searches of other pools"
    own, random = _flips(candidates, null)
    by_candidates = [
        len(found.features) if flips else 0 for found, flips in zip(minimal_sets, own, strict=True)
    ]
    n_own, n_random = int(own.sum()), random.sum(axis=0)
    size = _median(by_candidates[:N_SEARCHED])
    null_sizes = {pool: _median(found) for pool, found in sizes.items()}
    statistic = _statistic(n_own, size)
    null_values = [_statistic(int(n), null_sizes.get(k)) for k, n in enumerate(n_random)]
    n, n_pools = len(minimal_sets), random.shape[1]
    return SearchNull(
        flipped=share(sum(found.flipped for found in minimal_sets), n),
        sizes=tuple(sorted(len(found.features) for found in minimal_sets if found.flipped)),
        flipped_by_candidates=share(n_own, n),
        n_flipped_by_pools=tuple(map(int, n_random)),
        n_pools=n_pools,
        n_tied=len(sizes),
        statistic=statistic,
        null_values=tuple(null_values),
        p_value=rank_p_value(statistic, null_values),
        smallest_p=1.0 / (n_pools + 1),
        near_zero=tuple(m.prompt_id for m in minimal_sets if m.clean_score < margin),
        margin=margin,
    )


def absence_of_flips(
    found: SearchNull, *, level: float, n_train: tuple[int, int]
) -> Absence | None:
    """Why the minimal sets are no evidence of a mechanism; None if they are."""
    n = found.flipped.n
    if not found.sizes:
        return Absence(
            kind=AbsenceKind.NO_FLIP,
            reason=f"None of {n} refused prompts is flipped (0% [0%, {found.flipped.high:.0%}]), not "
            "even with all candidates ablated.",
            also=(),
            remedy="Widen the pool (candidates.per_layer) or audit more layers (layers) before "
            "reading this as robustness.",
            n_train=n_train,
        )
    if found.p_value <= level:
        return None
    n_own = round(found.flipped_by_candidates.value * n)
    before = " before any pool is widened" if n_own < len(found.sizes) else ""
    too_few = (
        f"; {found.n_pools} pools cannot show less than {found.smallest_p:.2g}"
        if found.smallest_p > level
        else ""
    )
    return Absence(
        kind=AbsenceKind.NOT_BEYOND_NULL,
        reason=f"Ablating all candidates flips {n_own} of {n} refused prompts{before}; "
        f"{found.n_as_good} of {found.n_pools} pools of as many random features do as well "
        f"(p = {found.p_value:.2g}, must be at most {level:g}{too_few}).",
        also=(),
        remedy="Draw more pools (evidence.null_pools), or take other candidates (candidates.method); "
        "as they stand, the minimal sets are no evidence that these features carry refusal.",
        n_train=n_train,
    )


def _flips(
    candidates: Sequence[WidenedPool], null: Sequence[NullScores]
) -> tuple[Bool[np.ndarray, " prompt"], Bool[np.ndarray, "prompt pool"]]:
    own: Float[np.ndarray, " prompt"] = np.array([one.scores[0] for one in candidates])
    random: Float[np.ndarray, "prompt pool"] = np.array([one.scores for one in null])
    return answers(own), answers(random)


def _median(sizes: Sequence[int]) -> float:
    """Median size of a set; infinite if the median prompt is not flipped."""
    return float(np.quantile([size or np.inf for size in sizes], 0.5, method="higher"))


def _statistic(n_flipped: int, size: float | None) -> float:
    """Prompts flipped by a whole pool, plus one over the median size of its sets if it was searched."""
    return n_flipped + (1.0 / size if size and n_flipped else 0.0)
