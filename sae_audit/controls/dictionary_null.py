"""Minimal sets compared with those that the same search finds with null dictionaries (2602.14111).

A dictionary's statistic is the geometric mean, over the same prompts, of the number of features that a
flip takes. All prompts share a dictionary, so dictionaries are what is counted: p is the rank of the
real one among them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.findings import (
    DictionaryNull,
    Estimate,
    KindOfNull,
    MinimalSet,
    NullDictionary,
    NullKind,
    NullSet,
)
from sae_audit.statistics import mean, rank_p_value

_LogSizes = Float[np.ndarray, " prompt"]


def against_dictionaries(
    minimal_sets: Mapping[str, MinimalSet], dictionaries: Sequence[NullDictionary], *, seed: int
) -> DictionaryNull:
    """The real dictionary's minimal sets, by prompt, beside the null dictionaries' sets for some of
    these prompts."""
    assert dictionaries, "no null dictionary"
    prompts = tuple(one.prompt_id for one in dictionaries[0].sets)
    real = [minimal_sets[prompt_id] for prompt_id in prompts]
    kinds = tuple(
        _kind(kind, real, own, seed=seed)
        for kind in NullKind
        if (own := [one for one in dictionaries if one.kind is kind])
    )
    decisive = [one for one in kinds if one.kind.about_features]
    stands = all(one.beaten for one in decisive)
    return DictionaryNull(
        prompts=prompts, kinds=kinds, stands=stands, reason=_reason(decisive, len(prompts))
    )


def _kind(
    kind: NullKind, real: Sequence[MinimalSet], own: Sequence[NullDictionary], *, seed: int
) -> KindOfNull:
    sizes = _log_sizes(real)
    nulls = np.array([_log_sizes(one.sets) for one in own])
    means = nulls.mean(axis=1)
    flips_any = any(one.features for one in real) or any(s.features for d in own for s in d.sets)
    return KindOfNull(
        kind=kind,
        n=len(own),
        flipped=sum(one.flipped for one in real),
        flipped_null=tuple(sum(bool(one.features) for one in null.sets) for null in own),
        mean_size=float(np.exp(sizes.mean())),
        mean_size_null=tuple(float(one) for one in np.exp(means)),
        ratio=_ratio(sizes - nulls.mean(axis=0), seed=seed) if flips_any else None,
        # Rounding must not make a smaller one of an equal one.
        p_value=rank_p_value(-sizes.mean() - 1e-12, -means),
        smallest_p=1 / (len(own) + 1),
    )


def _log_sizes(sets: Sequence[MinimalSet] | Sequence[NullSet]) -> _LogSizes:
    """Logarithm of the features that each flip takes; one more than there are if it is not flipped."""
    return np.log([len(one.features) or one.n_candidates + 1 for one in sets])


def _ratio(differences: _LogSizes, *, seed: int) -> Estimate:
    logs = mean(differences, seed=seed)
    value, low, high = map(float, np.exp([logs.value, logs.low, logs.high]))
    return Estimate(value=value, low=low, high=high, n=logs.n, method=logs.method)


def _reason(kinds: Sequence[KindOfNull], n_prompts: int) -> str:
    if not kinds:
        return "No null dictionary that knows nothing of the model was searched."
    first = kinds[0]
    parts = [
        f"{_NAMES[one.kind]} {_needed(one)} "
        f"({one.n} drawn, p = {one.p_value:.2g}, the smallest possible {one.smallest_p:.2g})"
        for one in kinds
    ]
    better = "fewer than" if all(one.beaten for one in kinds) else "and not clearly fewer than"
    return (
        f"A flip takes {first.mean_size:.1f} features of these SAEs (geometric mean over {n_prompts} "
        f"prompts), {better} with null dictionaries: {'; '.join(parts)}."
    )


_NAMES = {
    NullKind.ROTATED: "rotated at random",
    NullKind.ROTATED_ABOUT_DIRECTION: "rotated about the direction",
    NullKind.RANDOM_ROWS: "random decoder rows",
    NullKind.SAME_COSINES: "random decoder rows of the same cosines",
}


def _needed(kind: KindOfNull) -> str:
    if not any(kind.flipped_null):
        return "flip none of them"
    return f"take {min(kind.mean_size_null):.1f} to {max(kind.mean_size_null):.1f}"
