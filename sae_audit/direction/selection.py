"""Selection rule of 2406.11717 (appendix C): lowest bypass among candidates that pass the filters."""

from collections.abc import Sequence

from sae_audit.direction.filters import (
    FINITE,
    Filter,
    best,
    first_cut_layer,
    is_finite,
    kl_filter,
    layer_filter,
    nearest,
    none_below,
)
from sae_audit.findings import DirectionEvaluation, NearestDirection


def filters_by_bypass(
    n_layers: int, *, kl_limit: float, induce_floor: float, layer_cut: float
) -> tuple[Filter, ...]:
    return (
        FINITE,
        layer_filter(n_layers, layer_cut),
        kl_filter(kl_limit),
        _induce_filter(induce_floor),
    )


def _induce_filter(floor: float) -> Filter:
    return Filter(
        name="not inducing",
        requires=f"induce at least {floor} nats",
        fails=lambda e: induce_of(e) < floor,
        verdict=lambda e: f"induces {induce_of(e):+.2f}, below {floor:g} nats",
    )


def select_direction(
    evaluations: Sequence[DirectionEvaluation],
    n_layers: int,
    kl_limit: float = 0.1,
    induce_floor: float = 0.0,
    layer_cut: float = 0.2,
) -> DirectionEvaluation | NearestDirection:
    """The candidate of lowest bypass among those that pass every filter, or how near the nearest came.

    Discarded are candidates with a number that is not finite; `layer + 1 >= int((1 - layer_cut) *
    n_layers)`, too close to the unembedding; KL above `kl_limit` nats; induce below `induce_floor` nats.
    """
    assert evaluations, "no direction was evaluated"
    filters = filters_by_bypass(
        n_layers, kl_limit=kl_limit, induce_floor=induce_floor, layer_cut=layer_cut
    )
    return best(evaluations, filters, in_order) or nearest_direction(
        evaluations,
        filters,
        n_tried=len(evaluations),
        first_cut=first_cut_layer(n_layers, layer_cut),
        kl_limit=kl_limit,
        induce_floor=induce_floor,
    )


def bypass_of(e: DirectionEvaluation) -> float:
    assert e.bypass is not None, "the rule asks every candidate's bypass"
    return e.bypass


def induce_of(e: DirectionEvaluation) -> float:
    assert e.induce is not None, "the rule asks what every candidate induces"
    return e.induce


def in_order(e: DirectionEvaluation) -> tuple[float, int, int]:
    """Sort key: bypass, then layer, then position."""
    return bypass_of(e), e.layer, e.position


def nearest_direction(
    evaluations: Sequence[DirectionEvaluation],
    filters: Sequence[Filter],
    *,
    n_tried: int,
    first_cut: int,
    kl_limit: float,
    induce_floor: float,
) -> NearestDirection:
    """How near the nearest of `n_tried` candidates came, if none passes the filters.

    `evaluations` must hold the one that fails the fewest filters and, outside the cut layers, those with
    the lowest KL and the highest induced score.
    """
    early = [e for e in evaluations if is_finite(e) and e.layer < first_cut]
    if not early:
        reason = none_below(first_cut, n_tried=n_tried)
    else:
        lowest_kl, highest_induce = min(e.kl for e in early), max(map(induce_of, early))
        reason = (
            f"None of {n_tried} directions passes the filters: the lowest KL is {lowest_kl:.3f} "
            f"(limit {kl_limit:g} nats), the highest induced score {highest_induce:+.2f} (floor "
            f"{round(induce_floor, 2):g} nats)."
        )
    return nearest(evaluations, filters, in_order, reason=reason)
