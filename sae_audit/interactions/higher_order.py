"""Error that a pairwise model leaves: triples, and the share that more masks would remove."""

from collections.abc import Sequence
from math import comb

import numpy as np
from jaxtyping import Bool
from scipy import stats

from sae_audit.findings import TripleInteraction
from sae_audit.interactions.pair_model import Masks, Scores
from sae_audit.interactions.solver import Fitted, FittedWalsh, Hyperparameters, Solver
from sae_audit.vocabulary import FeatureId

_Z = 1.96
_LEAST = 0.05
"""Nats below which a triple is not reported."""
_LEVEL = 0.05
"""Share of graphs without triples in which at least one is reported."""


def null_triple_weight(n_players: int, fitted: FittedWalsh) -> float | None:
    """Absolute third difference (nats) that normal errors of all triples together exceed in one graph of
    20 (Sidak); None for fewer than three players."""
    n_triples = comb(n_players, 3)
    if n_triples == 0:
        return None
    one = 1.0 - (1.0 - _LEVEL) ** (1.0 / n_triples)
    return max(_LEAST, _third_difference(fitted.error) * float(stats.norm.isf(one / 2.0)))


def triples_of(
    players: Sequence[FeatureId], fitted: FittedWalsh, chance: float | None
) -> tuple[TripleInteraction, ...]:
    """Third-order terms that exceed `chance`, which is None only for fewer than three players."""
    if chance is None:
        return ()
    reach = _Z * _third_difference(fitted.error)
    weights = {
        term: _third_difference(float(coefficient))
        for term, coefficient in zip(fitted.terms, fitted.coefficients, strict=True)
        if len(term) == 3
    }
    found = [
        TripleInteraction(
            a=players[term[0]],
            b=players[term[1]],
            c=players[term[2]],
            weight=weight,
            low=weight - reach,
            high=weight + reach,
        )
        for term, weight in weights.items()
        if abs(weight) > chance
    ]
    return tuple(sorted(found, key=lambda t: (-abs(t.weight), t.a, t.b, t.c)))


def _third_difference(coefficient: float) -> float:
    """Third difference from a coefficient: z = (s + 1) / 2 in each of three factors gives 2^3."""
    return 8.0 * coefficient


def fitted_to_half(
    masks: Masks,
    scores: Scores,
    solve: Solver,
    chosen: Hyperparameters,
    apart: Bool[np.ndarray, " mask"],
    *,
    seed: int,
) -> Fitted:
    """A fit to half of the masks not held out."""
    rows = np.random.default_rng([seed, 2]).permutation(np.flatnonzero(~apart))
    half = np.sort(rows[: (len(rows) + 1) // 2])
    return solve(masks[half], scores[half], seed=seed, chosen=chosen)
