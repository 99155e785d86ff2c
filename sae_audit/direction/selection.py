"""Choosing the refusal direction among all (position, layer) candidates (2406.11717, appendix C)."""

import math
from collections.abc import Sequence

from sae_audit.findings import DirectionEvaluation, NearestDirection


def select_direction(
    evaluations: Sequence[DirectionEvaluation],
    n_layers: int,
    kl_limit: float = 0.1,
    induce_floor: float = 0.0,
    layer_cut: float = 0.2,
) -> DirectionEvaluation | NearestDirection:
    """The candidate with the lowest bypass score among those that pass every filter.

    Discarded: any number that is not finite; layer >= int((1 - layer_cut) * n_layers), too close to
    the unembedding; KL above `kl_limit` nats; induce below `induce_floor` nats. Where none is left,
    how near the nearest came.
    """
    assert evaluations, "no direction was evaluated"
    # Rounded first: (1 - 0.2) * 10 is 8.000000000000002 in one order and 7.999... in another.
    first_cut = int(round((1.0 - layer_cut) * n_layers, 9))
    finite = [e for e in evaluations if all(map(math.isfinite, (e.bypass, e.induce, e.kl)))]
    early = [e for e in finite if e.layer < first_cut]
    passing = [e for e in early if e.kl <= kl_limit and e.induce >= induce_floor]
    if passing:
        return min(passing, key=lambda e: (e.bypass, e.layer, e.position))
    reason = _why_none(len(evaluations), early, kl_limit, induce_floor, first_cut)
    if not finite:
        return NearestDirection(evaluation=None, failed=(), reason=reason)

    def failed(e: DirectionEvaluation) -> tuple[str, ...]:
        tests = {
            f"layer {e.layer}, not below {first_cut}": e.layer >= first_cut,
            f"KL {e.kl:.3f} above {kl_limit:g} nats": e.kl > kl_limit,
            f"induces {e.induce:+.2f}, below {induce_floor:g} nats": e.induce < induce_floor,
        }
        return tuple(name for name, fails in tests.items() if fails)

    nearest = min(finite, key=lambda e: (len(failed(e)), e.bypass, e.layer, e.position))
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
