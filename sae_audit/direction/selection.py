"""Choosing the refusal direction among all (position, layer) candidates (2406.11717, appendix C)."""

import math
from collections.abc import Sequence

from sae_audit.findings import DirectionEvaluation, NearestDirection


def first_cut_layer(n_layers: int, layer_cut: float) -> int:
    """The lowest layer whose direction is discarded as too close to the unembedding.

    The source counts directions by the layer that reads them (`resid_pre`) and discards those from
    `int((1 - layer_cut) * n_layers)` up. Here a direction is read at `resid_post`, which is the next
    layer's `resid_pre`: `layer + 1` is the number it has there.
    """
    # Rounded first: (1 - 0.2) * 10 is 8.000000000000002 in one order and 7.999... in another.
    return int(round((1.0 - layer_cut) * n_layers, 9)) - 1


def select_direction(
    evaluations: Sequence[DirectionEvaluation],
    n_layers: int,
    kl_limit: float = 0.1,
    induce_floor: float = 0.0,
    layer_cut: float = 0.2,
) -> DirectionEvaluation | NearestDirection:
    """The candidate with the lowest bypass score among those that pass every filter.

    Discarded: any number that is not finite; layer + 1 >= int((1 - layer_cut) * n_layers), too close
    to the unembedding; KL above `kl_limit` nats; induce below `induce_floor` nats. Where none is
    left, how near the nearest came.
    """
    assert evaluations, "no direction was evaluated"
    first_cut = first_cut_layer(n_layers, layer_cut)
    early = [e for e in evaluations if is_finite(e) and e.layer < first_cut]
    passing = [e for e in early if e.kl <= kl_limit and e.induce >= induce_floor]
    if passing:
        return min(passing, key=in_order)
    return nearest_direction(
        evaluations,
        n_tried=len(evaluations),
        first_cut=first_cut,
        kl_limit=kl_limit,
        induce_floor=induce_floor,
    )


def in_order(e: DirectionEvaluation) -> tuple[float, int, int]:
    """The better candidate first: by bypass, and of equal ones the earlier."""
    return e.bypass, e.layer, e.position


def is_finite(e: DirectionEvaluation) -> bool:
    return all(map(math.isfinite, (e.bypass, e.induce, e.kl)))


def nearest_direction(
    evaluations: Sequence[DirectionEvaluation],
    *,
    n_tried: int,
    first_cut: int,
    kl_limit: float,
    induce_floor: float,
) -> NearestDirection:
    """How near the nearest came of `n_tried` candidates, none of which passes the filters.

    `evaluations` hold those among them that decide it: the one that fails fewest filters, and of the
    layers that are not cut the lowest KL and the highest induced score.
    """
    finite = [e for e in evaluations if is_finite(e)]
    early = [e for e in finite if e.layer < first_cut]
    reason = _why_none(n_tried, early, kl_limit, induce_floor, first_cut)
    if not finite:
        return NearestDirection(evaluation=None, failed=(), reason=reason)

    def failed(e: DirectionEvaluation) -> tuple[str, ...]:
        tests = {
            f"layer {e.layer}, not below {first_cut}": e.layer >= first_cut,
            f"KL {e.kl:.3f} above {kl_limit:g} nats": e.kl > kl_limit,
            f"induces {e.induce:+.2f}, below {induce_floor:g} nats": e.induce < induce_floor,
        }
        return tuple(name for name, fails in tests.items() if fails)

    nearest = min(finite, key=lambda e: (len(failed(e)), *in_order(e)))
    return NearestDirection(evaluation=nearest, failed=failed(nearest), reason=reason)


def _why_none(
    n: int,
    early: Sequence[DirectionEvaluation],
    kl_limit: float,
    induce_floor: float,
    first_cut: int,
) -> str:
    if not early:
        return f"None of {n} directions is finite and lies below layer {first_cut}."
    lowest_kl = min(e.kl for e in early)
    highest_induce = max(e.induce for e in early)
    return (
        f"None of {n} directions passes the filters: the lowest KL is {lowest_kl:.3f} (limit "
        f"{kl_limit:g} nats), the highest induced score {highest_induce:+.2f} (floor "
        f"{round(induce_floor, 2):g} nats)."
    )
