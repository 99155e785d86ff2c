"""Rows and sentences of filtered sets and of what the factorization machine adds."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import CoactivationFm, ComparedSet, Estimate, MinimalSet
from sae_audit.pages.wording import NO_VALUE, interval, percent
from sae_audit.statistics import median

LABELS = {
    "filtered": "filtered set",
    "filtered_fm": "filtered set and what the machine adds",
    "added_alone": "what the machine adds, alone",
    "filtered_linear": "filtered set and as many by the linear model",
    "filtered_permuted": "filtered set and as many by machines on permuted labels",
    "filtered_random": "filtered set and as many random, matched",
    "linear_probe": "linear probe, equally large",
    "top_cosine": "top cosine, equally large",
    "random_matched": "random, matched, equally large",
}
"""Wording of each compared set."""
SOLVERS = {
    "fm_bayes": "factorization machine, sampled (myfm)",
    "fm_als": "factorization machine, least squares (fastFM)",
    "linear": "linear, without pairs",
}


@dataclass(frozen=True, kw_only=True)
class SizeRow:
    """Sizes of one kind of set over the flipped prompts."""

    label: str
    median: Estimate
    smallest: int
    largest: int
    n_distinct: int
    """Number of distinct features over all prompts."""


def size_rows(found: Sequence[MinimalSet]) -> list[SizeRow]:
    """What the filter keeps, and what elimination leaves of it; none if no prompt was filtered."""
    filtered = [one for one in found if one.filtered is not None]
    if not filtered:
        return []
    kinds = {
        "kept by the filter": [one.filtered or () for one in filtered],
        "left by elimination (minimal sets)": [one.features for one in filtered],
    }
    return [
        SizeRow(
            label=label,
            median=median([float(len(one)) for one in sets]),
            smallest=min(map(len, sets)),
            largest=max(map(len, sets)),
            n_distinct=len({feature for one in sets for feature in one}),
        )
        for label, sets in kinds.items()
    ]


def shared(found: Estimate | None) -> str:
    """A share with its interval, or a dash."""
    return interval(found, percent) if found is not None else NO_VALUE


def named(found: CoactivationFm, name: str) -> ComparedSet | None:
    return next((one for one in found.sets if one.name == name), None)


def answer(found: CoactivationFm) -> str:
    """What the filtered set flips, alone and with the added features, by text if it was read."""
    own, more = named(found, "filtered"), named(found, "filtered_fm")
    alone = f"The {len(found.filtered)} filtered features flip {_flips(own)} held-out prompts"
    if more is None:
        return f"Nothing: {found.reason}. {alone}."
    return (
        f"{len(found.added)} features. {alone}, with these {_flips(more)}; "
        f"against {found.n_permutations} machines on permuted labels p = {found.p_value:.2g} (the "
        f"smallest possible: {1 / (1 + found.n_permutations):.2g})."
    )


def control(found: CoactivationFm) -> str:
    """Equally large sets of other origins."""
    rivals = [
        f"{LABELS[name]}: {_flips(one)}"
        for name in ("filtered_permuted", "linear_probe", "random_matched")
        if (one := named(found, name)) is not None
    ]
    return "; ".join(rivals) + "."


def better(found: CoactivationFm, *, level: float) -> bool:
    """Whether the added features flip more prompts than those of machines on permuted labels."""
    return bool(found.added) and found.p_value <= level


def _flips(one: ComparedSet | None) -> str:
    """`330 of 371 (89% [85%, 92%])`, the judge's reading behind it if there is one."""
    if one is None:
        return NO_VALUE
    n = one.flipped.n
    by_score = f"{one.flipped.value * n:.3g} of {n} ({interval(one.flipped, percent)})"
    if one.complied is None:
        return by_score
    return f"{by_score} by score, {interval(one.complied, percent)} in text"
