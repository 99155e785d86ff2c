"""Greedy filtering (2509.09708): filter by relative change, then eliminate.

1. Filter: from the unlikeliest feature on, remove each whose removal changes the refusal probability by
   less than the share tau and leaves the prompt flipped.
2. Eliminate: in order of rising effect, remove each feature without which the prompt stays flipped;
   repeat until a round removes none.
"""

from collections.abc import Sequence

import numpy as np

from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking
from sae_audit.minimal.elimination import eliminate, eliminate_until_minimal
from sae_audit.vocabulary import FeatureId, FeatureSet


def filter_greedily(order: Sequence[FeatureId], *, tau: float, patience: int) -> Asking[FeatureSet]:
    """A set that flips, from features that all together flip, the likeliest first."""
    kept = yield from eliminate(order[::-1], _hardly_changes(tau), patience=patience)
    return (yield from eliminate_until_minimal(kept, patience=patience))


def _hardly_changes(tau: float):
    def spares(before: float, after: float) -> bool:
        p_before, p_after = _probability(before), _probability(after)
        # Many drops below tau could add up to a refusal; none may do that.
        return answers(after) and abs(p_after - p_before) < tau * p_before

    return spares


def _probability(score: float) -> float:
    return float(1.0 / (1.0 + np.exp(-score)))
