"""Which features' ablation activates which, each edge tested by itself (2509.09708, mediated).

For a feature B of a wave, the earlier waves E, and a cause A among them:

1. Spared: is B active with E but A ablated? If not, A is necessary.
2. Alone and frozen: is B active with A alone ablated, every other feature of the cascade frozen at its
   clean activations? Then the edge is direct.
3. Alone: is B active with A alone ablated, everything else free? Then, if not direct, the edge is
   mediated by other features of the cascade.
4. Neither 2 nor 3, but 1: A is needed jointly with others.
5. A mediated or joint edge runs through each other feature of the cascade that makes B inactive again
   if it alone is frozen at its clean activations.
6. Control: features outside the cascade ablated in A's place.

A direct edge may be masked: A alone activates a feature that keeps B inactive, so only freezing that
feature shows the effect of A.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sae_audit.config import CascadeSettings
from sae_audit.findings import ActivationEdge, ActivationEdges, Cascade, EdgeKind
from sae_audit.sampling import nearest
from sae_audit.vocabulary import Activations, Active, FeatureId, FeatureSet, Intervention


def activation_edges(
    found: Cascade, active: Active, activations: Activations, settings: CascadeSettings
) -> ActivationEdges:
    """The edges of one prompt's cascade between features of earlier and of later waves."""
    waves = [frozenset(wave.features) for wave in found.waves]
    earlier = [frozenset[FeatureId]().union(*waves[:i]) for i in range(len(waves))]
    if len(waves) < 2:
        return ActivationEdges(
            prompt_id=found.prompt_id, edges=(), n_pairs_tested=0, left_out=(), n_runs=0
        )
    firing = active(earlier)
    chosen = _chosen(found, firing[0], settings.edge_features)
    pairs = [
        _Pair(cause=a, feature=b, earlier=earlier[j], active=firing[i])
        for j in range(1, len(waves))
        for b in chosen[j]
        for i in range(j)
        for a in chosen[i]
    ]
    readings = _Readings(activations, sorted({pair.feature for pair in pairs}))
    edges = _tested(pairs, earlier[-1] | waves[-1], readings, settings.edge_controls)
    return ActivationEdges(
        prompt_id=found.prompt_id,
        edges=tuple(edges),
        n_pairs_tested=len(pairs),
        left_out=tuple(sorted((earlier[-1] | waves[-1]).difference(*chosen))),
        n_runs=readings.n_runs,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pair:
    """A feature and a possible cause of its activation."""

    cause: FeatureId
    feature: FeatureId
    earlier: FeatureSet
    """All waves before the feature's own."""
    active: Mapping[FeatureId, float]
    """Features that fire if all waves before the cause's own are ablated."""

    @property
    def spared(self) -> Intervention:
        return Intervention(ablated=self.earlier - {self.cause})

    @property
    def alone(self) -> Intervention:
        return Intervention(ablated=frozenset([self.cause]))

    def frozen(self, members: FeatureSet) -> Intervention:
        cause = frozenset([self.cause])
        return Intervention(ablated=cause, frozen=members - cause - {self.feature})


class _Readings:
    """Largest activations over positions; each intervention is run once."""

    def __init__(self, activations: Activations, features: Sequence[FeatureId]) -> None:
        self._activations = activations
        self._features = list(features)
        self._known: dict[Intervention, dict[FeatureId, float]] = {}

    @property
    def n_runs(self) -> int:
        return len(self._known)

    def ask(self, interventions: Iterable[Intervention]) -> None:
        new = [one for one in dict.fromkeys(interventions) if one not in self._known]
        if not new:
            return
        peaks = self._activations(new, self._features).max(axis=2)
        for one, row in zip(new, peaks.tolist(), strict=True):
            self._known[one] = dict(zip(self._features, row, strict=True))

    def of(self, feature: FeatureId, under: Intervention) -> float:
        return self._known[under][feature]


def _chosen(
    found: Cascade, clean: Mapping[FeatureId, float], n: int
) -> list[tuple[FeatureId, ...]]:
    """The features of each wave between which edges are tested."""
    first = sorted(found.waves[0].features, key=lambda f: (-clean.get(f, 0.0), f))
    chosen = [tuple(sorted(first[:n]))]
    for wave in found.waves[1:]:
        strongest = sorted(wave.dormant, key=lambda one: (-one.effect, one.feature))
        chosen.append(tuple(sorted(one.feature for one in strongest[:n])))
    return chosen


def _tested(
    pairs: Sequence[_Pair], members: FeatureSet, readings: _Readings, n_controls: int
) -> list[ActivationEdge]:
    readings.ask(
        under
        for pair in pairs
        for under in (
            Intervention(ablated=pair.earlier),
            pair.spared,
            pair.alone,
            pair.frozen(members),
        )
    )
    kinds = [(pair, _kind(pair, members, readings)) for pair in pairs]
    there = [(pair, kind) for pair, kind in kinds if kind is not None]
    readings.ask(
        under
        for pair, kind in there
        for under in (
            *_routes(pair, kind, members).values(),
            *_controls(pair, kind, members, n_controls),
        )
    )
    return [_edge(pair, kind, members, readings, n_controls) for pair, kind in there]


def _kind(pair: _Pair, members: FeatureSet, readings: _Readings) -> EdgeKind | None:
    if readings.of(pair.feature, pair.frozen(members)) > 0.0:
        return EdgeKind.DIRECT
    if readings.of(pair.feature, pair.alone) > 0.0:
        return EdgeKind.MEDIATED
    if readings.of(pair.feature, pair.spared) > 0.0:
        return None
    # A feature that fires only by the rounding of another reading has no edge.
    active = readings.of(pair.feature, Intervention(ablated=pair.earlier)) > 0.0
    return EdgeKind.JOINT if active else None


def _routes(pair: _Pair, kind: EdgeKind, members: FeatureSet) -> dict[FeatureId, Intervention]:
    """By other feature of the cascade, the run that activates the target, with that feature frozen."""
    if kind == EdgeKind.DIRECT:
        return {}
    ablated = frozenset([pair.cause]) if kind == EdgeKind.MEDIATED else pair.earlier
    return {
        other: Intervention(ablated=ablated, frozen=frozenset([other]))
        for other in sorted(members - ablated - {pair.feature})
    }


def _controls(pair: _Pair, kind: EdgeKind, members: FeatureSet, n: int) -> list[Intervention]:
    """Interventions that ablate features outside the cascade in place of the cause."""
    others = nearest(pair.cause, pair.active, excluded=members, n=n)
    rest = pair.earlier - {pair.cause} if kind == EdgeKind.JOINT else frozenset[FeatureId]()
    frozen = members - {pair.feature} if kind == EdgeKind.DIRECT else frozenset[FeatureId]()
    return [Intervention(ablated=rest | {other}, frozen=frozen) for other in others]


def _edge(
    pair: _Pair, kind: EdgeKind, members: FeatureSet, readings: _Readings, n_controls: int
) -> ActivationEdge:
    def activation(under: Intervention) -> float:
        return readings.of(pair.feature, under)

    controls = _controls(pair, kind, members, n_controls)
    return ActivationEdge(
        cause=pair.cause,
        feature=pair.feature,
        kind=kind,
        activation=activation(Intervention(ablated=pair.earlier)),
        activation_kept=activation(pair.spared),
        activation_alone=activation(pair.alone),
        activation_held=activation(pair.frozen(members)),
        through=tuple(
            other
            for other, under in _routes(pair, kind, members).items()
            if activation(under) <= 0.0
        ),
        n_controls=len(controls),
        n_controls_activating=sum(activation(under) > 0.0 for under in controls),
    )
