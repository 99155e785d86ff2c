"""Stage 2, first step: features whose decoder rows are nearest the direction by cosine (2509.09708)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sae_audit.findings import Candidate, CandidateSet
from sae_audit.vocabulary import FeatureId


def by_cosine(
    cosines: Mapping[int, Float[np.ndarray, " d_sae"]], *, per_layer: int
) -> CandidateSet:
    """The top `per_layer` features of each layer by cosine with the refusal direction."""
    assert cosines, "no layer"
    candidates: list[Candidate] = []
    for layer, values in sorted(cosines.items()):
        assert np.isfinite(values).all(), f"layer {layer} has decoder rows of length zero"
        top = np.argsort(-values, kind="stable")[:per_layer]
        candidates += [
            Candidate(feature=FeatureId(layer, int(index)), cosine=float(values[index]))
            for index in top
        ]
    return CandidateSet(
        method="cosine", per_layer=per_layer, reason="", candidates=tuple(candidates)
    )
