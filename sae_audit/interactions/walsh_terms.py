"""Proposals of products of +-1 masks to add to a sparse model, judged by its residuals.

A term is the sorted tuple of its players' indices: `()` the intercept, `(3,)` a main effect, `(3, 7)` a
pair. One statistic, `|sum residual * product|`, judges all, so that one matrix product judges thousands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

Term = tuple[int, ...]
Signs = Float[np.ndarray, "mask player"]

MAX_ORDER = 6
_CLOSED = 8
"""Players in a group whose every product may enter together (2^8 terms)."""

_TOGETHER = 2.0
"""Multiple of the chance level that the products of a group must explain together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftOver:
    """A model so far and its residuals."""

    signs: Signs
    terms: Sequence[Term]
    coefficients: Float[np.ndarray, " term"]
    residual: Float[np.ndarray, " mask"]
    deviation: float
    """Deviation of the residuals, corrected for degrees of freedom."""

    def least(self, n_candidates: float) -> float:
        """Threshold that the largest statistic of `n_candidates` products seldom exceeds by chance."""
        n_masks = len(self.residual)
        return float(np.sqrt(2.0 * np.log(max(2.0, n_candidates)) * n_masks) * self.deviation)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    term: Term
    strength: float


def products(signs: Signs, terms: Sequence[Term]) -> Float[np.ndarray, "mask term"]:
    """The column of every term."""
    columns = np.ones((len(signs), len(terms)))
    for column, term in enumerate(terms):
        for player in term:
            columns[:, column] *= signs[:, player]
    return columns


def pairs_and_extensions(left: LeftOver) -> list[Proposal]:
    """Any pair, and any term of the model with one more player."""
    known, n = set(left.terms), left.signs.shape[1]
    parents = [term for term in left.terms if 2 <= len(term) < MAX_ORDER]
    least = left.least(n * n / 2 + len(parents) * n)
    strengths: dict[Term, float] = {}
    tops = [(i,) for i in range(n)] + parents
    weighted = products(left.signs, tops) * left.residual[:, None]
    correlations = np.abs(weighted.T @ left.signs)
    for row, player in np.argwhere(correlations > least):
        parent, player = tops[row], int(player)
        term = tuple(sorted((*parent, player)))
        if player not in parent and term not in known:
            strengths[term] = float(correlations[row, player])
    return [Proposal(term=term, strength=value) for term, value in strengths.items()]


def triples(left: LeftOver) -> list[Proposal]:
    """Any triple; a vote may have no pair weight and no pair to extend."""
    known, n = set(left.terms), left.signs.shape[1]
    least = left.least(n**3 / 6)
    # Single precision suffices to find them in half the time.
    signs, residual = left.signs.astype(np.float32), left.residual.astype(np.float32)
    found: list[Proposal] = []
    for i in range(n - 2):
        others = signs[:, i + 1 :]
        correlations = np.abs((others * (residual * signs[:, i])[:, None]).T @ others)
        for j, k in np.argwhere(np.triu(correlations > least, k=1)):
            term = (i, i + 1 + int(j), i + 1 + int(k))
            if term not in known:
                found.append(Proposal(term=term, strength=float(correlations[j, k])))
    return found


def closures(left: LeftOver, room: int) -> list[Proposal]:
    """Every missing product of the groups whose missing products together explain something.

    A feature read through a vote or a threshold has many small terms of high order, each below the
    chance level while their sum of squares is far above it.
    """
    known, n_masks = set(left.terms), len(left.residual)
    judged: list[tuple[float, list[Term]]] = []
    for group in _groups(left):
        orders = range(2, len(group) + 1)
        missing = [t for k in orders for t in combinations(group, k) if t not in known]
        if len(group) < 3 or not missing or len(missing) > room:
            continue
        explained = ((products(left.signs, missing).T @ left.residual) ** 2).sum()
        ratio = float(explained) / (left.deviation**2 * n_masks * len(missing))
        if ratio > _TOGETHER:
            judged.append((ratio, missing))
    found: list[Proposal] = []
    for ratio, missing in sorted(judged, reverse=True):
        if len(found) + len(missing) <= room:
            found += [Proposal(term=term, strength=ratio) for term in missing]
    return found


def _groups(left: LeftOver) -> list[list[int]]:
    """Players tied by terms, the strongest tie first, in groups up to the maximum size."""
    chance = 3.0 * left.deviation / np.sqrt(len(left.residual))
    ties = [
        (abs(float(coefficient)), term)
        for coefficient, term in zip(left.coefficients, left.terms, strict=True)
        if len(term) >= 2 and abs(coefficient) > chance
    ]
    group_of: dict[int, frozenset[int]] = {}
    for _, term in sorted(ties, reverse=True):
        joined = frozenset[int]().union(*(group_of.get(i, frozenset([i])) for i in term))
        if len(joined) <= _CLOSED:
            group_of |= dict.fromkeys(joined, joined)
    return [sorted(group) for group in sorted(set(group_of.values()), key=sorted)]
