"""Candidate directions as differences of means (2406.11717)."""

import numpy as np

from sae_audit.direction.methods import CandidateDirections, Means


def difference_of_means(means: Means) -> CandidateDirections:
    """Mean of harmful minus mean of harmless prompts, one candidate per layer and template position."""
    differences = means.harmful - means.harmless
    n_layers, n_positions, _ = differences.shape
    pairs = [(layer, position) for layer in range(n_layers) for position in range(n_positions)]
    return CandidateDirections(
        vectors=np.stack([differences[pair] for pair in pairs]),
        layers=tuple(layer for layer, _ in pairs),
        positions=tuple(position - n_positions for _, position in pairs),
    )
