"""Stage 2, first step: the features whose decoder rows lie nearest the direction (2509.09708)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sae_audit.findings import Candidate, CandidateSet
from sae_audit.vocabulary import FeatureId


def by_cosine(
    cosines: Mapping[int, Float[np.ndarray, " d_sae"]],
    *,
    per_layer: int,
    d_model: int,
    seed: int,
) -> CandidateSet:
    """The top `per_layer` features of each layer by cosine with the refusal direction.

    `cosines` holds one value per decoder row, by layer. The chance cosine beside them is what the
    same choice gives on rows drawn at random: as many rows a layer, uniform on the sphere.
    """
    assert cosines, "no layer"
    candidates: list[Candidate] = []
    chance: list[float] = []
    random = np.random.default_rng(seed)
    for layer, values in sorted(cosines.items()):
        assert np.isfinite(values).all(), f"layer {layer} has decoder rows of length zero"
        top = np.argsort(-values, kind="stable")[:per_layer]
        candidates += [
            Candidate(feature=FeatureId(layer, int(index)), cosine=float(values[index]))
            for index in top
        ]
        # A uniform row's cosine with a fixed direction: (1 + c) / 2 is Beta((d-1)/2, (d-1)/2).
        shape = (d_model - 1) / 2
        drawn = 2.0 * random.beta(shape, shape, size=len(values)) - 1.0
        chance.append(float(np.sort(drawn)[-per_layer:].mean()))
    return CandidateSet(
        method="cosine",
        per_layer=per_layer,
        candidates=tuple(candidates),
        chance_cosine=float(np.mean(chance)),
    )
