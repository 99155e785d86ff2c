"""Sets of the same size as a found one, of other origins, for comparison."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.pipeline.state import AuditState
from sae_audit.sampling import matched_random_sets
from sae_audit.vocabulary import FeatureId, FeatureSet


@dataclass(frozen=True, kw_only=True)
class BaselineSets:
    """Sets of the same size as a given one, of other origins."""

    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]]
    probe: Sequence[FeatureId]
    candidates: Sequence[FeatureId]
    """By falling cosine with the direction."""
    n_random: int

    def has_others_enough(self, features: FeatureSet) -> bool:
        """Whether each layer has as many other features, candidates apart, as `features` has."""
        wanted = Counter(feature.layer for feature in features)
        taken = Counter(feature.layer for feature in features.union(self.candidates))
        return all(n + taken[layer] <= len(self.firing_rates[layer]) for layer, n in wanted.items())

    def random(self, features: FeatureSet, seed: int) -> list[FeatureSet]:
        return matched_random_sets(
            features,
            self.firing_rates,
            excluded=features.union(self.candidates),
            n_sets=self.n_random,
            seed=seed,
        )

    def all(self, features: FeatureSet, seed: int) -> dict[str, list[FeatureSet]]:
        """Sets of each origin, as large as `features`; origins with too few features are left out."""
        n = len(features)
        ranked = {"linear_probe": self.probe, "top_cosine": self.candidates}
        heads = {name: [frozenset(order[:n])] for name, order in ranked.items() if len(order) >= n}
        return {"random_matched": self.random(features, seed), **heads}


def baseline_sets(state: AuditState) -> BaselineSets:
    """Baseline sets drawn by firing rates and by a probe of the training prompts."""
    read = state.training.features()
    return BaselineSets(
        firing_rates=read.firing_rates,
        probe=read.probe,
        candidates=state.candidates.nearest,
        n_random=state.config.controls.random_sets,
    )
