"""The JSON forms of a feature id."""

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from sae_audit.vocabulary import FeatureId


def _as_feature(value: Any) -> FeatureId:
    if isinstance(value, FeatureId):
        return value
    if isinstance(value, str):
        return FeatureId.parse(value)
    layer, index = value
    return FeatureId(int(layer), int(index))


Feature = Annotated[
    FeatureId,
    BeforeValidator(_as_feature),
    PlainSerializer(lambda feature: [feature.layer, feature.index], return_type=list[int]),
]
"""A feature id, written `[layer, index]` in JSON."""

FeatureKey = Annotated[
    FeatureId,
    BeforeValidator(_as_feature),
    PlainSerializer(str, return_type=str),
]
"""A feature id as a key of a JSON object, written `L16/25312`."""
