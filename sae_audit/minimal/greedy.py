"""Greedy filtering (2509.09708): from the unlikeliest feature on, remove each whose removal changes the
refusal probability by less than the share tau and leaves the prompt flipped.

What is left flips, but features that change the probability without being needed stay in it: on the
organism ten and more, of which elimination leaves two or three (`search.py`).
"""

from collections.abc import Sequence

import numpy as np

from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking
from sae_audit.minimal.elimination import eliminate
from sae_audit.vocabulary import FeatureId, FeatureSet


def filter_greedily(order: Sequence[FeatureId], *, tau: float, patience: int) -> Asking[FeatureSet]:
    """The filter's own set, which flips, from features that all together flip, the likeliest first."""
    return eliminate(order[::-1], _hardly_changes(tau), patience=patience)


def _hardly_changes(tau: float):
    def spares(before: float, after: float) -> bool:
        p_before, p_after = _probability(before), _probability(after)
        # Many drops below tau could add up to a refusal; none may do that.
        return answers(after) and abs(p_after - p_before) < tau * p_before

    return spares


def _probability(score: float) -> float:
    return float(1.0 / (1.0 + np.exp(-score)))
