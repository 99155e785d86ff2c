"""Rankings of features from training prompts alone, without one ablation: rivals that cost nothing."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sae_audit.vocabulary import FeatureId, FeatureValues, TemplateActivations

_LONGEST = 4096
"""Features of a ranking that are kept."""


def mean_difference_ranking(
    harmful: Mapping[int, TemplateActivations],
    harmless: Mapping[int, TemplateActivations],
    row_norms: Mapping[int, Float[np.ndarray, " d_sae"]],
    cosines: Mapping[int, Float[np.ndarray, " d_sae"]],
) -> list[FeatureId]:
    """Features by how much further harmful prompts' features push the stream along the direction:
    difference of mean activation at the last token, times the decoder row's norm, times its cosine with
    the direction. Only features that push harmful prompts further are in it.
    """
    pushes: dict[int, Float[np.ndarray, " d_sae"]] = {}
    for layer, norms in row_norms.items():
        difference = np.zeros(len(norms))
        for sign, own in ((1.0, harmful[layer]), (-1.0, harmless[layer])):
            last = own.values[:, -1].astype(np.float64) * own.factor[:, -1:]
            difference[own.index] += sign * last.mean(axis=0)
        pushes[layer] = difference * norms * cosines[layer]
    return ranked(pushes)


def ranked(values: FeatureValues) -> list[FeatureId]:
    """Features of all layers by falling value; those whose value is not above 0 are left out."""
    places = [
        (-float(own[index]), FeatureId(layer, int(index)))
        for layer, own in values.items()
        for index in np.argsort(-own, kind="stable")[:_LONGEST]
        if own[index] > 0.0
    ]
    return [feature for _, feature in sorted(places)][:_LONGEST]
