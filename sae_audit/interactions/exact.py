"""Pair weights computed from all 2^n masks."""

import numpy as np

from sae_audit.findings import ExplainedExactly
from sae_audit.interactions.pair_model import (
    Masks,
    PairModel,
    Scores,
    check_design,
    from_products,
    pair_products,
)


def fit_exact(masks: Masks, scores: Scores) -> PairModel:
    """The pairwise model closest to all 2^n scores, computed without a solver.

    Each pair weight is the second difference `y(ab) - y(a) - y(b) + y()` averaged over all states of the
    other features, the Banzhaf interaction. This is least squares on all masks, because +-1 products are
    orthogonal there.
    """
    check_design(masks, scores)
    n = masks.shape[1]
    assert len(np.unique(masks, axis=0)) == len(masks) == 2**n, "not every mask was measured"
    design = np.column_stack([np.ones(len(masks)), pair_products(masks)])
    solution = np.linalg.lstsq(design, scores, rcond=None)[0]
    return from_products(float(solution[0]), solution[1:], n)


def explained_exactly(masks: Masks, scores: Scores, *, curve: float) -> ExplainedExactly:
    """Shares of the variance of all 2^n scores explained by products of +-1 masks, beside the one by a
    `curve`; squared coefficients add up because the products are orthogonal there."""
    n = masks.shape[1]
    coefficients = pair_products(masks).T @ scores / len(masks)
    shares = coefficients**2 / scores.var()
    return ExplainedExactly(linear=float(shares[:n].sum()), pairs=float(shares.sum()), curve=curve)
