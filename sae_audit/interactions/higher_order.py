"""What a pairwise model misses, and what more masks would mend."""

from collections.abc import Sequence
from math import comb

import numpy as np
from jaxtyping import Bool

from sae_audit.findings import TripleInteraction
from sae_audit.interactions.pair_model import Masks, Scores, r_squared
from sae_audit.interactions.solver import Fitted, FittedWalsh, Hyperparameters, Solver
from sae_audit.vocabulary import FeatureId

_Z = 1.96
_LEAST = 0.05
"""Nats below which a triple is left out all the same."""


def triples_of(players: Sequence[FeatureId], fitted: Fitted) -> tuple[TripleInteraction, ...]:
    """The terms of third order that exceed what the largest of all triples reaches by chance."""
    assert isinstance(fitted, FittedWalsh), type(fitted)
    if len(players) < 3:
        return ()
    # z = (s + 1) / 2 in each of three factors: a third difference is eight coefficients.
    error = 8.0 * fitted.error
    least = max(_LEAST, error * np.sqrt(2.0 * np.log(comb(len(players), 3) + 1)))
    found = [
        TripleInteraction(
            a=players[term[0]],
            b=players[term[1]],
            c=players[term[2]],
            weight=8.0 * float(coefficient),
            low=8.0 * float(coefficient) - _Z * error,
            high=8.0 * float(coefficient) + _Z * error,
        )
        for term, coefficient in zip(fitted.terms, fitted.coefficients, strict=True)
        if len(term) == 3 and 8.0 * abs(float(coefficient)) > least
    ]
    return tuple(sorted(found, key=lambda t: (-abs(t.weight), t.a, t.b, t.c)))


def half_masks_r2(
    masks: Masks,
    scores: Scores,
    solve: Solver,
    chosen: Hyperparameters,
    apart: Bool[np.ndarray, " mask"],
    *,
    seed: int,
) -> float:
    """R2 on the masks apart of a fit to half of the others."""
    rows = np.random.default_rng([seed, 2]).permutation(np.flatnonzero(~apart))
    half = np.sort(rows[: (len(rows) + 1) // 2])
    fitted = solve(masks[half], scores[half], seed=seed, chosen=chosen)
    return r_squared(scores[apart], fitted.predict(masks[apart]))
