"""Sets of the same size as a found one, of other origins: what it is held against."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.controls.linear_probe import probe_ranking
from sae_audit.findings import CandidateSet
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.stages import ranked
from sae_audit.prompts.types import LabelledPrompts
from sae_audit.sampling import matched_random_sets
from sae_audit.vocabulary import FeatureId, FeatureSet


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """Sets of the same size as a given one, of other origins."""

    firing_rates: Mapping[int, Float[np.ndarray, " d_sae"]]
    probe: Sequence[FeatureId]
    cosine: Sequence[FeatureId]
    n_random: int

    def has_others_enough(self, features: FeatureSet) -> bool:
        """Whether each layer has as many features beside the candidates and these as these are."""
        wanted = Counter(feature.layer for feature in features)
        taken = Counter(feature.layer for feature in features.union(self.cosine))
        return all(n + taken[layer] <= len(self.firing_rates[layer]) for layer, n in wanted.items())

    def random(self, features: FeatureSet, seed: int) -> list[FeatureSet]:
        return matched_random_sets(
            features,
            self.firing_rates,
            excluded=features.union(self.cosine),
            n_sets=self.n_random,
            seed=seed,
        )

    def all(self, features: FeatureSet, seed: int) -> dict[str, list[FeatureSet]]:
        n = len(features)
        return {
            "random_matched": self.random(features, seed),
            "linear_probe": [frozenset(self.probe[:n])],
            "top_cosine": [frozenset(self.cosine[:n])],
        }


def find_rivals(session: Session, train: LabelledPrompts, candidates: CandidateSet) -> Rivals:
    """Reads the training prompts for firing rates, and for what a probe weighs."""
    harmful = session.subject.peak_activations(train.harmful)
    harmless = session.subject.peak_activations(train.harmless)
    return Rivals(
        firing_rates={layer: (peaks > 0.0).mean(axis=0) for layer, peaks in harmful.items()},
        probe=probe_ranking(harmful, harmless),
        cosine=ranked(candidates),
        n_random=session.config.controls.random_sets,
    )
