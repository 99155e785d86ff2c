"""Steering along the directions of categories: the trade of refusal against over-refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.direction.steering_curves import (
    Order,
    Steered,
    difference,
    headroom,
    order_of,
    threshold_moved,
    threshold_order,
)
from sae_audit.findings import Knob, SteeredAgainst, SteeredRates, Steering, SteeringCurve
from sae_audit.findings.categories import POOLED_DIRECTION, THRESHOLD
from sae_audit.margins import refuses
from sae_audit.pipeline.category_prompts import RefusedByCategory, drawn
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.statistics import share
from sae_audit.subject.intervention.projection import DirectionEffects

_LEVEL = 0.05
"""p-value up to which two trade-offs count as different; of categories' directions, of which there are
several, divided by their number (Bonferroni)."""

_EXCHANGES = 1999
"""Random exchanges behind the p-value: enough that it can be that small for a score of categories."""


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Prompts steered, none of which made a direction."""

    harmful_refused: list[Prompt]
    harmful_answered: list[Prompt]
    harmless_refused: list[Prompt]
    harmless_answered: list[Prompt]

    @property
    def harmful(self) -> list[Prompt]:
        return [*self.harmful_refused, *self.harmful_answered]

    @property
    def harmless(self) -> list[Prompt]:
        return [*self.harmless_refused, *self.harmless_answered]


def steering(
    state: AuditState,
    used: RefusedByCategory,
    directions: Mapping[str, Float[np.ndarray, " d_model"]],
) -> Steering | None:
    """The curves of directions by name, `pooled` among them, the length of each its gap; None if no
    strengths are asked for."""
    settings = state.config.categories
    if not settings.strengths:
        return None
    groups = _groups(used, settings.per_group, state.config.seed)
    # Directions are added to prompts of the second kind alone.
    of_harmful = state.subject.direction_effects(groups.harmless, groups.harmful)
    of_harmless = state.subject.direction_effects(groups.harmful, groups.harmless)
    layer = state.direction.selected.layer
    nothing = np.zeros(state.subject.d_model)
    clean = Steered(
        harmful=_scores(of_harmful, nothing, (0.0,), layer),
        harmless=_scores(of_harmless, nothing, (0.0,), layer),
    )
    others = tuple(one for one in settings.strengths if one != 0.0)
    at_zero = settings.strengths.index(0.0)
    steered = {
        name: Steered(
            harmful=np.insert(
                _scores(of_harmful, own, others, layer), at_zero, clean.harmful, axis=0
            ),
            harmless=np.insert(
                _scores(of_harmless, own, others, layer), at_zero, clean.harmless, axis=0
            ),
        )
        for name, own in directions.items()
    }
    orders = {
        name: order_of(own, np.array(settings.strengths)) for name, own in steered.items()
    } | {THRESHOLD: threshold_order(clean)}
    steered[THRESHOLD] = threshold_moved(clean, steered[POOLED_DIRECTION])
    room = headroom(orders[THRESHOLD])
    curves = tuple(
        SteeringCurve(
            along=name,
            gap=float(np.linalg.norm(directions[name])) if name in directions else 1.0,
            rates=_rates(own, settings.strengths),
            against_pooled=None
            if name == POOLED_DIRECTION
            else _against(
                orders[name],
                orders[POOLED_DIRECTION],
                equal_within=settings.equal_within if room >= settings.equal_within else None,
                level=_LEVEL / (len(used.refused) if name in used.refused else 1),
                seed=state.config.seed,
            ),
        )
        for name, own in steered.items()
    )
    return Steering(
        n_harmful_refused=len(groups.harmful_refused),
        n_harmful_answered=len(groups.harmful_answered),
        n_harmless_refused=len(groups.harmless_refused),
        n_harmless_answered=len(groups.harmless_answered),
        equal_within=settings.equal_within,
        curves=curves,
        headroom=room,
    )


def _groups(used: RefusedByCategory, n: int, seed: int) -> _Groups:
    return _Groups(
        harmful_refused=drawn(used.tried_on, seed)[:n],
        harmful_answered=drawn(used.complied, seed)[:n],
        harmless_refused=drawn(used.over_refused, seed)[:n],
        harmless_answered=drawn(used.harmless.tried_on, seed)[:n],
    )


def _scores(
    effects: DirectionEffects,
    vector: Float[np.ndarray, " d_model"],
    strengths: Sequence[float],
    layer: int,
) -> Float[np.ndarray, "strength prompt"]:
    n = effects.n_harmless
    rows = [np.repeat(strength * vector[None], n, axis=0) for strength in strengths]
    return np.stack([effects.induce(own, range(n), [layer] * n) for own in rows])


def _rates(steered: Steered, strengths: Sequence[float]) -> tuple[SteeredRates, ...]:
    return tuple(
        SteeredRates(
            strength=strength,
            refused=share(int(refuses(harmful).sum()), len(harmful)),
            over_refused=share(int(refuses(harmless).sum()), len(harmless)),
        )
        for strength, harmful, harmless in zip(
            strengths, steered.harmful, steered.harmless, strict=True
        )
    )


def _against(
    own: Order, pooled: Order, *, equal_within: float | None, level: float, seed: int
) -> SteeredAgainst | None:
    found = difference(own, pooled, n_permutations=_EXCHANGES, seed=seed)
    if found is None:
        return None
    knob = Knob.OPEN
    if equal_within is not None and found.upper <= equal_within:
        knob = Knob.EQUAL
    elif found.p_value <= level:
        knob = Knob.BETTER if found.gain > 0.0 else Knob.WORSE
    low, high = found.over
    return SteeredAgainst(
        low=low,
        high=high,
        area=found.area,
        gain=found.gain,
        upper=found.upper,
        p_value=found.p_value,
        knob=knob,
    )
