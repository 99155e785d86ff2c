"""How well weights separate redundant pairs, and pairs on one path, from all others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score, roc_auc_score

from sae_audit.findings import PairKind
from sae_audit.interactions.pair_model import Pairs

NEGLIGIBLE = 0.05
"""Nats; a smaller true weight is no interaction."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Ranking quality for one kind of pair, by signed weight among all pairs."""

    kind: PairKind
    n_pairs: int
    """Number of pairs of this kind."""
    n_all: int
    auroc: float | None
    """Probability that a pair of the kind ranks above one of another kind; ties count half."""
    auprc: float | None
    """Average precision; by chance about the kind's share of all pairs."""
    reason: str
    """Why both are None; empty if they are not."""


def detections(weights: Pairs, truth: Pairs) -> tuple[Detection, Detection]:
    """Detection of redundant pairs by falling weight, and of shared-path pairs by rising weight."""
    assert weights.shape == truth.shape, (weights.shape, truth.shape)
    assert np.isfinite(weights).all(), "a weight is not finite"
    above = np.triu_indices(len(truth), k=1)
    found, known = weights[above], truth[above]
    return (
        _detection(PairKind.REDUNDANT, known <= -NEGLIGIBLE, -found),
        _detection(PairKind.SHARED_PATH, known >= NEGLIGIBLE, found),
    )


def _detection(
    kind: PairKind, of_kind: Bool[np.ndarray, " pair"], strength: Float[np.ndarray, " pair"]
) -> Detection:
    n = int(of_kind.sum())
    reason = ""
    if n == 0:
        reason = f"no pair is {kind.value}"
    elif n == len(of_kind):
        reason = f"every pair is {kind.value}"
    return Detection(
        kind=kind,
        n_pairs=n,
        n_all=len(of_kind),
        auroc=None if reason else float(roc_auc_score(of_kind, strength)),
        auprc=None if reason else float(average_precision_score(of_kind, strength)),
        reason=reason,
    )
