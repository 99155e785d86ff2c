"""Whether the features that refusal needs are enough to cause it on prompts that are not refused.

A set of features is given, at a harmless prompt's template positions, its mean activations there on
refused harmful prompts. The control's random set writes a vector as long to each layer's stream.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.findings import RaisedSet
from sae_audit.margins import answers, refuses
from sae_audit.statistics import mean, share
from sae_audit.vocabulary import FeatureId

Scores = Float[np.ndarray, " prompt"]


def raised_set(name: str, clean: Scores, raised: Scores, raised_random: Scores) -> RaisedSet:
    """Effect of raising a set; both arguments are refusal scores (nats) of the same harmless prompts."""
    assert clean.size > 0, "no harmless prompt"
    assert answers(clean).all(), "prompts that are refused as they are cannot come to be refused"
    return RaisedSet(
        name=name,
        refused=share(int(refuses(raised).sum()), raised.size),
        score_rise=mean(raised - clean),
        refused_random=share(int(refuses(raised_random).sum()), raised_random.size),
        score_rise_random=mean(raised_random - clean),
    )


def equally_long(
    features: Sequence[FeatureId],
    stand_ins: Sequence[FeatureId],
    values: Mapping[FeatureId, float],
    rows: Mapping[FeatureId, Float[np.ndarray, " d_model"]],
) -> dict[FeatureId, float]:
    """Activations of `stand_ins` that write as long a vector to each layer as `features` do.

    Both are sorted, with as many features per layer; the k-th stand-in of a layer takes the k-th
    feature's share. `rows` are the vectors written per unit of activation. If the features write
    nothing to a layer, neither do its stand-ins.
    """
    assert [f.layer for f in features] == [f.layer for f in stand_ins], (features, stand_ins)
    found = {b: values[a] for a, b in zip(features, stand_ins, strict=True)}
    for layer in {feature.layer for feature in features}:
        own = [f for f in features if f.layer == layer]
        others = [f for f in stand_ins if f.layer == layer]
        length = _length(own, values, rows)
        random = _length(others, found, rows)
        for other in others:
            found[other] *= length / random if random else 0.0
    return found


def _length(
    features: Sequence[FeatureId],
    values: Mapping[FeatureId, float],
    rows: Mapping[FeatureId, Float[np.ndarray, " d_model"]],
) -> float:
    return float(np.linalg.norm(sum((values[f] * rows[f] for f in features), np.zeros(1))))
