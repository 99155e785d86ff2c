"""A two-step design: screen all pairs on random masks, then measure the likeliest directly."""

import numpy as np

from sae_audit.bench.asking import Asked
from sae_audit.interactions.masks import draw_masks
from sae_audit.interactions.pair_model import Pairs
from sae_audit.interactions.walsh import fit_walsh

_SCREENING = 0.5
"""Share of the budget for the screening."""
_CONTEXTS = 8
"""Number of random states of the others in which a shortlisted pair is measured."""


def measured_pairs(asked: Asked, budget: int, seed: int) -> Pairs:
    """Second differences of shortlisted pairs, averaged over random contexts: unbiased, four sets each.

    The shortlist has the largest weights of the default solver on the first half of the budget; other
    pairs keep their screening weight.
    """
    masks, _ = draw_masks(asked.n, int(_SCREENING * budget), seed)
    screened = fit_walsh(masks, asked(masks), seed=seed).pair_weights()
    first, second = np.triu_indices(asked.n, k=1)
    n_listed = min(len(first), (budget - asked.n_sets) // (4 * _CONTEXTS))
    listed = np.argsort(-np.abs(screened[first, second]), kind="stable")[:n_listed]
    random = np.random.default_rng([seed, 3])
    weights = screened.copy()
    for pair in listed:
        i, j = int(first[pair]), int(second[pair])
        weights[i, j] = weights[j, i] = _second_difference(asked, i, j, random)
    return weights


def _second_difference(asked: Asked, i: int, j: int, random: np.random.Generator) -> float:
    contexts = random.random((_CONTEXTS, asked.n)) < 0.5
    states = np.repeat(contexts, 4, axis=0)
    states[:, i] = np.tile([True, True, False, False], _CONTEXTS)
    states[:, j] = np.tile([True, False, True, False], _CONTEXTS)
    signs = np.tile([1.0, -1.0, -1.0, 1.0], _CONTEXTS)
    return float(signs @ asked(states)) / _CONTEXTS
