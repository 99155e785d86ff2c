"""How directions of categories lie to each other, and how they would by chance.

A direction is a category's mean minus the mean of harmless prompts. All share the latter, so that even
unrelated categories have cosines far above 0: about .5 if every mean is as far from the others as from
the harmless one. The nulls here are topics of harmless prompts, which have that in common with them, and
random deals of the refused prompts to categories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn.metrics import silhouette_score

from sae_audit.findings import Cosines, Estimate
from sae_audit.statistics import jackknife, rank_p_value

_SPLITS = 50
_GROUPS = 20
"""Groups of prompts that the jackknife leaves out in turn."""
_MOST_FAMILIES = 6

Residuals = Float[np.ndarray, "_ d_model"]
"""Residual streams of prompts of one kind."""
Directions = Float[np.ndarray, "category d_model"]
Matrix = Float[np.ndarray, "category category"]


def units(vectors: Float[np.ndarray, "vector d_model"]) -> Float[np.ndarray, "vector d_model"]:
    """The vectors at length 1; zero vectors as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0.0)


def mean_differences(categories: Sequence[Residuals], harmless: Residuals) -> Directions:
    """The mean of each category minus that of the harmless prompts, not normalised."""
    return np.stack([own.mean(axis=0) for own in categories]) - harmless.mean(axis=0)


def cosine_matrix(vectors: Float[np.ndarray, "category d_model"]) -> Matrix:
    """Cosines of all pairs."""
    unit = units(vectors)
    return np.clip(unit @ unit.T, -1.0, 1.0)


def centred_matrix(vectors: Float[np.ndarray, "category d_model"]) -> Matrix:
    """Cosines of the unit vectors less their mean."""
    unit = units(vectors)
    return cosine_matrix(unit - unit.mean(axis=0))


def off_diagonal(matrix: Matrix) -> float:
    """Mean over pairs."""
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())


def participation_ratio(matrix: Matrix) -> float:
    """Squared sum of the eigenvalues over the sum of their squares, between 1 and the number of rows."""
    # Of a symmetric matrix the sums are its trace and the squared norm of its entries.
    return float(np.trace(matrix) ** 2 / (matrix**2).sum())


def split_pools(categories: Sequence[Residuals], harmless: Residuals, *, seed: int) -> float:
    """Mean cosine of pairs of directions that take off disjoint halves of the harmless prompts; mean
    over splits."""
    draws, found = np.random.default_rng(seed), np.zeros(_SPLITS)
    for i in range(_SPLITS):
        pools = np.array_split(harmless[draws.permutation(len(harmless))], 2)
        one, other = (units(mean_differences(categories, pool)) for pool in pools)
        found[i] = off_diagonal((one @ other.T + other @ one.T) / 2)
    return float(found.mean())


def shared_pool(categories: Sequence[Residuals], harmless: Residuals, *, seed: int) -> Cosines:
    """The cosines, their mean with a jackknife interval over prompts: the groups left out in turn hold
    as many of each category, and of the harmless prompts, as one another, but for one."""
    every = [*categories, harmless]
    n_groups = min(_GROUPS, *map(len, every))
    draws = np.random.default_rng(seed)
    groups = [draws.permutation(len(own)) % n_groups for own in every]
    matrix = cosine_matrix(mean_differences(categories, harmless))
    without = []
    for i in range(n_groups):
        *kept, pool = (own[group != i] for own, group in zip(every, groups, strict=True))
        without.append(off_diagonal(cosine_matrix(mean_differences(kept, pool))))
    value = off_diagonal(matrix)
    corrected = jackknife(value, without, n=sum(map(len, every)))
    # The cosines are shown as they are, so their mean is, too; the correction is of its noise.
    shift = value - corrected.value
    return Cosines(
        matrix=as_rows(matrix),
        mean=replace(
            corrected,
            value=value,
            low=max(corrected.low + shift, -1.0),
            high=min(corrected.high + shift, 1.0),
        )
        if corrected.has_interval
        else replace(corrected, value=value),
        participation_ratio=participation_ratio(matrix),
    )


def as_rows(matrix: Matrix) -> tuple[tuple[float, ...], ...]:
    """The matrix as a finding holds it."""
    return tuple(tuple(map(float, row)) for row in matrix)


def halves(own: Residuals, harmless: Residuals, *, seed: int) -> Estimate:
    """Cosine of the directions of two independent halves of the prompts, over random splits.

    With s the noise over the signal in squared norm this is 1 / (1 + s); resampling a direction against
    itself, as the audit's own stability does, gives more.
    """
    draws, found = np.random.default_rng(seed), np.zeros(_SPLITS)
    for i in range(_SPLITS):
        splits = [np.array_split(one[draws.permutation(len(one))], 2) for one in (own, harmless)]
        first, second = (mean_differences([a], b)[0] for a, b in zip(*splits, strict=True))
        found[i] = cosine_matrix(np.stack([first, second]))[0, 1]
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(
        value=float(found.mean()),
        low=float(low),
        high=float(high),
        n=len(own) + len(harmless),
        method=f"central 95% of {_SPLITS} splits",
    )


def topics(residuals: Residuals, n: int) -> list[Residuals]:
    """The prompts as `n` topics of about equal size: cut in two along the direction in which they vary
    most, again and again."""
    if n == 1:
        return [residuals]
    centred = residuals - residuals.mean(axis=0)
    _, _, rows = np.linalg.svd(centred, full_matrices=False)
    ordered = residuals[np.argsort(centred @ rows[0], kind="stable")]
    n_below = n // 2
    cut = round(len(ordered) * n_below / n)
    return [*topics(ordered[:cut], n_below), *topics(ordered[cut:], n - n_below)]


def p_differ(categories: Sequence[Residuals], *, n: int, seed: int) -> float:
    """p-value of the null that prompts belong to categories at random.

    The statistic is the variance between the means of categories.
    """
    sizes = [len(own) for own in categories]
    pooled = np.concatenate(categories)
    pooled = pooled - pooled.mean(axis=0)

    def between(order: Int[np.ndarray, " prompt"]) -> float:
        parts = np.split(pooled[order], np.cumsum(sizes)[:-1])
        return sum(len(own) * float((own.mean(axis=0) ** 2).sum()) for own in parts)

    draws = np.random.default_rng(seed)
    own = between(np.arange(len(pooled)))
    return rank_p_value(own, [between(draws.permutation(len(pooled))) for _ in range(n)])


def grouped(matrix: Matrix) -> tuple[list[list[int]], float]:
    """The rows in groups by average linkage of the distance `1 - cosine`, and their mean silhouette;
    of 2 to 6 groups, but not one for each row, as many as have the largest. One group of all, and 0, if
    there are fewer than 3 rows."""
    n = len(matrix)
    if n < 3:
        return [list(range(n))], 0.0
    distances = np.clip(1.0 - matrix, 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    distances = (distances + distances.T) / 2
    tree = hierarchy.linkage(squareform(distances, checks=False), method="average")
    best: tuple[list[list[int]], float] = ([list(range(n))], -np.inf)
    for k in range(2, min(_MOST_FAMILIES, n - 1) + 1):
        labels = hierarchy.fcluster(tree, k, criterion="maxclust")
        if len(set(labels.tolist())) < 2:
            continue
        found = float(silhouette_score(distances, labels, metric="precomputed"))
        if found > best[1]:
            groups: dict[int, list[int]] = {}
            for row, label in enumerate(labels.tolist()):
                groups.setdefault(label, []).append(row)
            best = (sorted(groups.values()), found)
    return best if np.isfinite(best[1]) else (best[0], 0.0)


def counts_by_categories(
    fires: Mapping[int, Float[np.ndarray, "prompt feature"]],
    category: Int[np.ndarray, " prompt"],
    harmless: Mapping[int, Float[np.ndarray, " feature"]],
    *,
    least: float,
) -> tuple[int, int, int]:
    """Numbers of features that fire on at least `least` more of the prompts of one category, of several
    and of all of them than of harmless prompts."""
    n_categories = int(category.max()) + 1
    of = np.zeros((n_categories, len(category)), np.float32)
    of[category, np.arange(len(category))] = 1.0
    of /= of.sum(axis=1, keepdims=True)
    n_for = np.concatenate(
        [((of @ own - harmless[layer]) >= least).sum(axis=0) for layer, own in fires.items()]
    )
    one, every = int((n_for == 1).sum()), int((n_for == n_categories).sum())
    return one, int((n_for > 0).sum()) - one - every, every
