"""Minimal sets compared with the null of their search.

1. For every refused prompt, the same search, certificate included, among as many random features as its
   pool holds (candidates and widening), in the same layers, firing as often. These are not widened in
   turn: widening looks for effect in all SAEs, so the null would contain the mechanism.
2. Candidates do better on a prompt if they alone flip it, or with fewer features.
3. Minimal sets are a finding if candidates do better more often than random features, by a sign test
   over prompts. Sets for one prompt are not independent, so each prompt counts once.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.findings import Absence, AbsenceKind, MinimalSet, SearchNull
from sae_audit.statistics import share, sign_test_p_value


def against_null(
    minimal_sets: Sequence[MinimalSet], null: Sequence[MinimalSet], *, margin: float
) -> SearchNull:
    """Both searches' results on the same refused prompts, paired."""
    assert minimal_sets, "no prompt was refused"
    random = {found.prompt_id: found for found in null}
    assert random.keys() == {found.prompt_id for found in minimal_sets}, "unpaired searches"
    # A prompt that is not flipped counts as needing more features than any set has.
    sizes = np.array([_size(found) for found in minimal_sets], dtype=float)
    sizes_random = np.array([_size(random[m.prompt_id]) for m in minimal_sets], dtype=float)
    n_better, n_worse = int((sizes < sizes_random).sum()), int((sizes > sizes_random).sum())
    n = len(minimal_sets)
    return SearchNull(
        flipped=share(int(np.isfinite(sizes).sum()), n),
        flipped_random=share(int(np.isfinite(sizes_random).sum()), n),
        sizes=_finite(sizes),
        sizes_random=_finite(sizes_random),
        n_better=n_better,
        n_worse=n_worse,
        better=share(n_better, n_better + n_worse) if n_better + n_worse else None,
        p_value=sign_test_p_value(n_better, n_worse),
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
    untied = found.n_better + found.n_worse
    fewest = int(np.ceil(-np.log2(level)))
    too_few = f"; fewer than {fewest} untied prompts cannot show it" if untied < fewest else ""
    return Absence(
        kind=AbsenceKind.NOT_BEYOND_NULL,
        reason=f"Candidates flip {len(found.sizes)} of {n} refused prompts, as many random features "
        f"{len(found.sizes_random)}; candidates do better on {found.n_better} of {untied} untied "
        f"prompts (p = {found.p_value:.2g}, must be at most {level:g}{too_few}).",
        also=(),
        remedy="Audit more prompts (prompts.audit), or other candidates (candidates.method); as they "
        "stand, the minimal sets are no evidence that these features carry refusal.",
        n_train=n_train,
    )


def _size(found: MinimalSet) -> float:
    return len(found.features) if found.flipped else np.inf


def _finite(sizes: Float[np.ndarray, " prompt"]) -> tuple[int, ...]:
    return tuple(sorted(int(size) for size in sizes if np.isfinite(size)))
