"""Filters on candidate directions, each with its verdict in words.

If no candidate passes all of them, the best one is taken all the same, marked with the limits it breaks:
filters are given up in rounds, and the first in order that passes what is left is the best. What a
direction costs harmless prompts is given up first, then what it must do when added, then where it may
lie. So a model whose refusal no direction removes cleanly is audited, and the limit's price is known.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sae_audit.findings import DirectionEvaluation

NEVER, COST, EFFECT, PLACE = range(4)
"""Rounds in which filters are given up; a number that is not finite never is."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One reason to discard a candidate."""

    name: str
    """What is wrong with a candidate that fails."""
    requires: str
    """Requirement with the limit in force; empty if it is self-evident."""
    fails: Callable[[DirectionEvaluation], bool]
    verdict: Callable[[DirectionEvaluation], str]
    """Verdict on a candidate that fails: what it does, with its number and the limit."""
    given_up: int
    """Round in which it is given up if no candidate passes: `COST`, `EFFECT`, `PLACE` or `NEVER`."""


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
    verdict=lambda _: "has a number that is not finite",
    given_up=NEVER,
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
        verdict=lambda e: f"lies at layer {e.layer} where those from {first_cut} on are cut",
        given_up=PLACE,
    )


def kl_filter(kl_limit: float) -> Filter:
    return Filter(
        name="with too large a KL",
        requires=f"KL at most {kl_limit} nats",
        fails=lambda e: e.kl > kl_limit,
        verdict=lambda e: f"costs KL {e.kl:.3f} nats where {kl_limit:g} is the limit",
        given_up=COST,
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


_LEFT = {
    NEVER: "",
    COST: "of those that pass every filter but the limit of KL",
    EFFECT: "of those outside the cut layers, as none of these induces refusal",
    PLACE: "of all, as all are in the cut layers",
}
"""What is left to choose from, by round."""


def without(filters: Filters, given_up: int) -> Filters:
    """The filters left once those of all rounds up to this one are given up."""
    return [one for one in filters if one.given_up == NEVER or one.given_up > given_up]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The candidate that is chosen, and what is wrong with it."""

    evaluation: DirectionEvaluation | None
    """None if no candidate has finite numbers."""
    rule: str
    """Which of the candidates it is the first in order of; empty if of those that pass every filter."""
    breaks: tuple[str, ...]
    """The limits it breaks, in words with its numbers; empty if it passes every filter."""
    reason: str
    """How near to passing the candidates came, or why there is none; empty if it passes."""
    without_cost_limit: DirectionEvaluation | None
    """The candidate that would be chosen whatever it costs; None if none passes the other filters."""


def chosen(
    evaluations: Sequence[DirectionEvaluation], filters: Filters, order: Order, *, reason: str
) -> Chosen:
    """The first candidate in order that passes every filter or, if there is none, that passes what is
    left of them in the first round in which any does.

    `reason` says how near the candidates came; it is kept if none passes.
    """
    found = {at: best(evaluations, without(filters, at), order) for at in _LEFT}
    first = next((at for at, one in found.items() if one is not None), NEVER)
    selected = found[first]
    broken = [] if selected is None else failing(selected, filters)
    return Chosen(
        evaluation=selected,
        rule=_LEFT[first],
        breaks=tuple(one.verdict(selected) for one in broken if selected is not None),
        reason=reason if selected is None or broken else "",
        without_cost_limit=found[COST],
    )


def none_below(first_cut: int, *, n_tried: int) -> str:
    """Said if each candidate is in a cut layer or has a number that is not finite."""
    return f"None of {n_tried} directions is finite and lies below layer {first_cut}."
