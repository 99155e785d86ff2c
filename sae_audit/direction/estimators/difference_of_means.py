"""Candidate directions as differences of means (2406.11717)."""

import numpy as np

from sae_audit.direction.methods import CandidateDirections, Means


def difference_of_means(means: Means) -> CandidateDirections:
    """Mean of harmful minus mean of harmless prompts, one candidate per layer and template position."""
    differences = means.harmful - means.harmless
    n_layers, n_positions, _ = differences.shape
    places = [(layer, place) for layer in range(n_layers) for place in range(n_positions)]
    return CandidateDirections(
        vectors=np.stack([differences[place] for place in places]),
        layers=tuple(layer for layer, _ in places),
        positions=tuple(place - n_positions for _, place in places),
    )
