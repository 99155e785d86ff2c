"""Whole pools of random features, matched to the candidates: the null of every search among them."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sae_audit.pipeline.state import AuditState
from sae_audit.sampling import random_candidates
from sae_audit.vocabulary import FeatureId


def null_pools(
    state: AuditState, firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]]
) -> list[list[FeatureId]]:
    """As many pools as the settings say, each as large as that of the candidates; the same at every
    call. A pool does not depend on how many are drawn."""
    return [
        random_candidates(
            state.candidates.ranked,
            firing_rates,
            state.eligible,
            seed=(state.config.seed, pool),
        )
        for pool in range(state.config.evidence.null_pools)
    ]
