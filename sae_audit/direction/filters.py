"""Filters that discard candidate directions, each with its verdict in words."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sae_audit.findings import DirectionEvaluation, NearestDirection


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One reason to discard a candidate."""

    name: str
    """What is wrong with a candidate that fails."""
    requires: str
    """Requirement with the limit in force; empty if it is self-evident."""
    fails: Callable[[DirectionEvaluation], bool]
    verdict: Callable[[DirectionEvaluation], str]
    """Verdict on a candidate that fails, with its number."""


Filters = Sequence[Filter]
Order = Callable[[DirectionEvaluation], tuple[float, ...]]
"""Sort key; the better candidate comes first."""


def is_finite(e: DirectionEvaluation) -> bool:
    """Whether every number asked for is finite."""
    asked = (e.bypass, e.induce, e.kl, *e.measures.values())
    return all(math.isfinite(one) for one in asked if one is not None)


FINITE = Filter(
    name="not finite",
    requires="",
    fails=lambda e: not is_finite(e),
    verdict=lambda _: "a number that is not finite",
)


def first_cut_layer(n_layers: int, layer_cut: float) -> int:
    """Lowest layer whose directions are discarded as too close to the unembedding.

    2406.11717 counts directions by the layer that reads them (`resid_pre`) and discards those from
    `int((1 - layer_cut) * n_layers)` up. Here a direction is read at `resid_post`, the next layer's
    `resid_pre`, so its number there is `layer + 1`.
    """
    # Rounded first: (1 - 0.2) * 10 is 8.000000000000002 in one order and 7.999... in another.
    return int(round((1.0 - layer_cut) * n_layers, 9)) - 1


def layer_filter(n_layers: int, layer_cut: float) -> Filter:
    first_cut = first_cut_layer(n_layers, layer_cut)
    return Filter(
        name="in the last layers",
        requires=f"layer below the last {round(100.0 * layer_cut)}%",
        fails=lambda e: e.layer >= first_cut,
        verdict=lambda e: f"layer {e.layer}, not below {first_cut}",
    )


def kl_filter(kl_limit: float) -> Filter:
    return Filter(
        name="with too large a KL",
        requires=f"KL at most {kl_limit} nats",
        fails=lambda e: e.kl > kl_limit,
        verdict=lambda e: f"KL {e.kl:.3f} above {kl_limit:g} nats",
    )


def failing(e: DirectionEvaluation, filters: Filters) -> list[Filter]:
    return [one for one in filters if one.fails(e)]


def judged(e: DirectionEvaluation, filters: Filters) -> DirectionEvaluation:
    """The evaluation with the names of the filters that discard it."""
    return replace(e, failed=tuple(one.name for one in failing(e, filters)))


def best(
    evaluations: Sequence[DirectionEvaluation], filters: Filters, order: Order
) -> DirectionEvaluation | None:
    """The first candidate in order that passes every filter; None if none does."""
    passing = [e for e in evaluations if not failing(e, filters)]
    return min(passing, key=order, default=None)


def none_below(first_cut: int, *, n_tried: int) -> str:
    """Why no candidate is chosen if each is in a cut layer or has a number that is not finite."""
    return f"None of {n_tried} directions is finite and lies below layer {first_cut}."


def nearest(
    evaluations: Sequence[DirectionEvaluation], filters: Filters, order: Order, *, reason: str
) -> NearestDirection:
    """The finite candidate that fails the fewest filters; of several, the first in order."""
    finite = [e for e in evaluations if is_finite(e)]
    if not finite:
        return NearestDirection(evaluation=None, failed=(), reason=reason)
    found = min(finite, key=lambda e: (len(failing(e, filters)), *order(e)))
    verdicts = tuple(one.verdict(found) for one in failing(found, filters))
    return NearestDirection(evaluation=found, failed=verdicts, reason=reason)
