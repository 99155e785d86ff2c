"""The share of an ablation's effect that activated features undo (2307.15771, as mediation)."""

from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.cascade.activation_tokens import features_of
from sae_audit.findings import FirstWaveEffects
from sae_audit.vocabulary import (
    FeatureId,
    FeatureSet,
    FinalNorm,
    Firing,
    Intervention,
    InterventionScore,
)

_MAX_ROUNDS = 6


@dataclass(frozen=True, kw_only=True)
class Compensation:
    """`1 - total effect / direct effect` of one ablation, with the final norm live and frozen."""

    effects: FirstWaveEffects | None
    """None if dormant features keep activating."""
    held: tuple[tuple[FeatureId, ...], ...]
    """Dormant features that activate, by the round in which they do."""
    ratio: float | None
    reason: str
    """Why the ratio is None; else empty."""
    frozen_compensation_ratio: float | None
    frozen_reason: str
    n_sets_scored: int


def compensation(
    score: InterventionScore,
    firing: Firing,
    ablated: FeatureSet,
    clean: Mapping[FeatureId, float],
    *,
    floor: float,
    frozen_norm_obstacle: str = "",
) -> Compensation:
    """The share of the effect of ablating `ablated` that activated features undo.

    Total effect: the fall of the refusal score, nats. Direct effect: the same fall with every feature
    that was dormant on the clean run frozen at its clean value, zero. (2307.15771 freezes downstream
    layers; freezing only the dormant features keeps ordinary downstream processing in both effects and
    isolates what the activated features add.) At 0 nothing is undone, at 0.5 half of the effect; if
    negative, activated features add to it.

    For the frozen ratio the direct effect's final norm also divides by the clean run's root mean
    square, so that what is left is not scaled up (2402.15390: about 30% of self-repair); the total
    effect is the same.

    The ratio is None if the direct effect is below `floor` nats or dormant features keep activating;
    the frozen one if `frozen_norm_obstacle` says why.
    """
    rounds = held_at_zero(firing, ablated, clean)
    held = tuple(tuple(sorted(one)) for one in rounds.held)
    if not rounds.settled:
        reason = f"dormant features still activate after {_MAX_ROUNDS} rounds of holding them"
        return Compensation(
            effects=None,
            held=held,
            ratio=None,
            reason=reason,
            frozen_compensation_ratio=None,
            frozen_reason=reason,
            n_sets_scored=0,
        )
    frozen = rounds.features
    nothing_activates = Intervention(ablated=ablated, frozen=frozen)
    sets = [Intervention(), Intervention(ablated=ablated), nothing_activates]
    before, after, without_activation = (float(value) for value in score(sets))
    total, direct, direct_frozen = before - after, before - without_activation, None
    ratio, reason = _ratio(total, direct, floor)
    frozen_compensation_ratio, frozen_reason, n_frozen = None, frozen_norm_obstacle, 0
    if not frozen_norm_obstacle:
        n_frozen = 1
        direct_frozen = before - float(score([nothing_activates], FinalNorm.FROZEN)[0])
        frozen_compensation_ratio, frozen_reason = _ratio(total, direct_frozen, floor)
    return Compensation(
        effects=FirstWaveEffects(total=total, direct=direct, direct_frozen=direct_frozen),
        held=held,
        ratio=ratio,
        reason=reason,
        frozen_compensation_ratio=frozen_compensation_ratio,
        frozen_reason=frozen_reason,
        n_sets_scored=len(sets) + n_frozen,
    )


@dataclass(frozen=True, kw_only=True)
class HeldRounds:
    """The dormant features that activate under one ablation as those before them are held at zero."""

    held: tuple[FeatureSet, ...]
    settled: bool
    """Whether with all of these held nothing else activates."""

    @property
    def features(self) -> FeatureSet:
        return frozenset[FeatureId]().union(*self.held)


def held_at_zero(
    firing: Firing, ablated: FeatureSet, clean: Mapping[FeatureId, float]
) -> HeldRounds:
    """Hold what activates with `ablated` ablated at its clean value, zero, until nothing else does."""
    held: list[FeatureSet] = []
    for _ in range(_MAX_ROUNDS):
        frozen = frozenset[FeatureId]().union(*held)
        now = firing([Intervention(ablated=ablated, frozen=frozen)])[0]
        activated = frozenset(f for f in features_of(now) if f not in clean) - frozen - ablated
        if not activated:
            return HeldRounds(held=tuple(held), settled=True)
        held.append(activated)
    return HeldRounds(held=tuple(held), settled=False)


def _ratio(total: float, direct: float, floor: float) -> tuple[float | None, str]:
    if abs(direct) < floor:
        return None, f"the direct effect, {direct:+z.3f} nats, is below {floor:g}"
    return 1.0 - total / direct, ""
