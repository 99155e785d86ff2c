"""Stage 2, first step: features whose decoder rows are nearest the direction by cosine (2509.09708)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.findings import Candidate, CandidateSet
from sae_audit.vocabulary import FeatureId

Eligible = Mapping[int, Bool[np.ndarray, " d_sae"]]
"""By layer, which features may be candidates."""


def by_cosine(
    cosines: Mapping[int, Float[np.ndarray, " d_sae"]], eligible: Eligible, *, per_layer: int
) -> CandidateSet:
    """The top `per_layer` eligible features of each layer by cosine with the refusal direction."""
    assert cosines, "no layer"
    candidates: list[Candidate] = []
    for layer, values in sorted(cosines.items()):
        assert np.isfinite(values).all(), f"layer {layer} has decoder rows of length zero"
        order = np.argsort(-values, kind="stable")
        top = order[eligible[layer][order]][:per_layer]
        candidates += [
            Candidate(feature=FeatureId(layer, int(index)), cosine=float(values[index]))
            for index in top
        ]
    return CandidateSet(
        method="cosine",
        per_layer=per_layer,
        reason="",
        candidates=tuple(candidates),
        left_out=n_left_out(eligible),
    )


def n_left_out(eligible: Eligible) -> int:
    """Number of features that may not be candidates, over all layers."""
    return sum(int((~own).sum()) for own in eligible.values())
