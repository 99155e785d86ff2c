"""A small world in which it is written which features' silence activates which."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sae_audit.cascade.waves import CascadeQuestions
from sae_audit.vocabulary import FeatureId, FeatureSet, FinalNorm, Fired, Intervention

Activates = Mapping[FeatureId, Literal["on"] | Sequence[set[FeatureId]]]
"""Feature -> on, or the sets of features, of earlier layers, of which one must be silent whole."""


@dataclass(frozen=True)
class World:
    """Features that keep others inactive; each firing one that is not ablated adds to the score."""

    activates: Activates
    strength: Mapping[FeatureId, float] = field(default_factory=dict[FeatureId, float])
    rescaled: float = 0.0
    """Nats that the final norm's rescaling brings back once anything is ablated."""
    at: Mapping[FeatureId, Sequence[int]] = field(default_factory=dict[FeatureId, Sequence[int]])
    """Positions, of 4, at which a feature fires when it does, hardest at the last; else all."""
    rounding: frozenset[FeatureId] = frozenset()
    """Features that fire by no more than rounding."""
    pushes: Mapping[FeatureId, float] = field(default_factory=dict[FeatureId, float])
    """Direct attribution, where it is not the strength."""
    driven_by: Mapping[FeatureId, FeatureId] = field(default_factory=dict[FeatureId, FeatureId])
    """Feature -> the one without whose output it is silent."""

    def firing(self, under: Intervention) -> dict[FeatureId, float]:
        """By layer: what is heard of a feature is nothing where it is ablated, its clean value where
        it is frozen."""
        heard: dict[FeatureId, float] = {}
        reads: dict[FeatureId, float] = {}
        clean = self._clean() if under.frozen else {}
        for feature in sorted(self.activates):
            reads[feature] = self._read(feature, heard)
            heard[feature] = reads[feature]
            if feature in under.ablated:
                heard[feature] = 0.0
            if feature in under.frozen:
                heard[feature] = clean.get(feature, 0.0)
        return {feature: value for feature, value in reads.items() if value}

    def _clean(self) -> dict[FeatureId, float]:
        return self.firing(Intervention())

    def _read(self, feature: FeatureId, heard: Mapping[FeatureId, float]) -> float:
        driver = self.driven_by.get(feature)
        if driver is not None and not heard[driver]:
            return 0.0
        causes = self.activates[feature]
        active = causes == "on" or any(all(not heard[c] for c in one) for one in causes)
        return 1.0 if active else 0.0

    def active(self, sets: Sequence[FeatureSet]) -> list[Mapping[FeatureId, float]]:
        return [self.firing(Intervention(ablated=ablated)) for ablated in sets]

    def score(self, sets: Sequence[FeatureSet]) -> np.ndarray:
        return self.intervention_score([Intervention(ablated=ablated) for ablated in sets])

    def intervention_score(
        self, interventions: Sequence[Intervention], norm: FinalNorm = FinalNorm.LIVE
    ) -> np.ndarray:
        return np.array([self._score(under, norm) for under in interventions])

    def _score(self, under: Intervention, norm: FinalNorm) -> float:
        silent = under.ablated | under.frozen
        fires = [f for f in self.firing(under) if f not in silent]
        kept = [f for f in under.frozen if f in self._clean()] if under.frozen else []
        lost = self.rescaled if norm == FinalNorm.FROZEN and under.ablated else 0.0
        return sum(self.strength[f] for f in (*fires, *kept)) - 1.0 - lost

    def direct_attribution(self, ablated: FeatureSet, features: Sequence[FeatureId]) -> np.ndarray:
        assert not ablated & set(features), "an ablated feature attributions nowhere"
        fires = self.firing(Intervention(ablated=ablated))
        return np.array([self.pushes.get(f, self.strength[f]) * (f in fires) for f in features])

    def beyond_rounding(self, ablated: FeatureSet, features: Sequence[FeatureId]) -> list[bool]:
        assert self.firing(Intervention(ablated=ablated)).keys() >= set(features)
        return [feature not in self.rounding for feature in features]

    def activations(
        self, interventions: Sequence[Intervention], features: Sequence[FeatureId]
    ) -> np.ndarray:
        found = np.zeros((len(interventions), len(features), 4))
        for row, under in enumerate(interventions):
            firing = self.firing(under)
            for column, feature in enumerate(features):
                for position in self._positions([feature]):
                    found[row, column, position] = firing.get(feature, 0.0) * (position + 1) / 4
        return found

    def fired(self, interventions: Sequence[Intervention]) -> list[Fired]:
        return [self._fired(under) for under in interventions]

    def _fired(self, under: Intervention) -> Fired:
        rows = [
            (f.layer, f.index, position, value * (position + 1))
            for f, value in self.firing(under).items()
            for position in self._positions([f])
        ]
        layer, index, position, value = np.array(rows, float).reshape(-1, 4).T
        return Fired(
            layer=layer.astype(int),
            index=index.astype(int),
            position=position.astype(int),
            activation=value,
        )

    def _positions(self, features: Iterable[FeatureId]) -> list[int]:
        return [at for feature in features for at in self.at.get(feature, range(4))]

    def questions(self, frozen_norm_obstacle: str = "") -> CascadeQuestions:
        return CascadeQuestions(
            score=self.score,
            active=self.active,
            direct_attribution=self.direct_attribution,
            firing=self.fired,
            intervention_score=self.intervention_score,
            beyond_rounding=self.beyond_rounding,
            frozen_norm_obstacle=frozen_norm_obstacle,
        )
