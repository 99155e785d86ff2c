"""What the minimal sets of many prompts have in common."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import MinimalSet
from sae_audit.vocabulary import FeatureId


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """One feature and the number of minimal sets that hold it."""

    feature: FeatureId
    n_prompts: int


def feature_rows(found: Sequence[MinimalSet], limit: int) -> list[FeatureRow]:
    """The features that most minimal sets hold, most frequent first."""
    counts = Counter(feature for one in found for feature in one.features)
    order = sorted(counts, key=lambda feature: (-counts[feature], feature))
    return [FeatureRow(feature=f, n_prompts=counts[f]) for f in order[:limit]]


def sizes(found: Sequence[MinimalSet]) -> dict[int, int]:
    """Number of flipped prompts by size of their minimal set, no size left out in between."""
    counts = Counter(len(one.features) for one in found if one.flipped)
    return {size: counts[size] for size in range(min(counts), max(counts) + 1)} if counts else {}


def layers(found: Sequence[MinimalSet], audited: Sequence[int]) -> dict[int, int]:
    """Members of all minimal sets by layer, every audited layer named."""
    counts = Counter(feature.layer for one in found for feature in one.features)
    return {layer: counts[layer] for layer in audited}
