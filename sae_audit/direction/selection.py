"""Selection rule of 2406.11717 (appendix C): lowest bypass among candidates that pass the filters.

If none passes, the lowest bypass among those that pass every filter but the limit of KL; if there is
none either, among those outside the cut layers; else among all. Such a choice is marked.
"""

from collections.abc import Sequence

from sae_audit.direction.filters import (
    EFFECT,
    FINITE,
    Chosen,
    Filter,
    chosen,
    first_cut_layer,
    is_finite,
    kl_filter,
    layer_filter,
    none_below,
)
from sae_audit.findings import DirectionEvaluation
from sae_audit.margins import answers


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
        verdict=lambda e: (
            f"induces {induce_of(e):+z.2f} nats where {round(floor, 2):g} is the floor"
        ),
        given_up=EFFECT,
    )


def select_direction(
    evaluations: Sequence[DirectionEvaluation],
    n_layers: int,
    kl_limit: float = 0.1,
    induce_floor: float = 0.0,
    layer_cut: float = 0.2,
) -> Chosen:
    """The candidate of lowest bypass that passes every filter or, marked, the best of the rest.

    Filters fail for candidates with a number that is not finite; `layer + 1 >= int((1 - layer_cut) *
    n_layers)`, too close to the unembedding; KL above `kl_limit` nats; induce below `induce_floor` nats.
    """
    assert evaluations, "no direction was evaluated"
    filters = filters_by_bypass(
        n_layers, kl_limit=kl_limit, induce_floor=induce_floor, layer_cut=layer_cut
    )
    return chosen_direction(
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


def removes(e: DirectionEvaluation) -> bool:
    """Whether projecting it out takes the mean refusal score of harmful prompts below 0."""
    return answers(bypass_of(e))


def in_order(e: DirectionEvaluation) -> tuple[float, int, int]:
    """Sort key: bypass, then layer, then position."""
    return bypass_of(e), e.layer, e.position


def chosen_direction(
    evaluations: Sequence[DirectionEvaluation],
    filters: Sequence[Filter],
    *,
    n_tried: int,
    first_cut: int,
    kl_limit: float,
    induce_floor: float,
) -> Chosen:
    """The choice among `n_tried` candidates.

    `evaluations` must hold every candidate that may be chosen with or without the limit of KL and, if
    none passes, outside the cut layers those with the lowest KL and with the lowest at which refusal
    goes; if none of them induces refusal, also that with the highest induced score.
    """
    early = [e for e in evaluations if is_finite(e) and e.layer < first_cut]
    if not early:
        reason = none_below(first_cut, n_tried=n_tried)
    else:
        reason = (
            f"Of those outside the cut layers the lowest KL is {min(e.kl for e in early):.3f} (limit "
            f"{kl_limit:g} nats){_most_inducing(early, induce_floor)}; {_cheapest(early, induce_floor)}."
        )
    return chosen(evaluations, filters, in_order, reason=reason)


def _most_inducing(early: Sequence[DirectionEvaluation], floor: float) -> str:
    """The highest induced score, in words, if it is below the floor; empty if the limit of KL alone is
    what none keeps."""
    highest = max(map(induce_of, early))
    if highest >= floor:
        return ""
    return f", the highest induced score {highest:+z.2f} (floor {round(floor, 2):g} nats)"


def _cheapest(early: Sequence[DirectionEvaluation], floor: float) -> str:
    """The lowest KL at which refusal goes, in words, and whether that candidate induces refusal too."""
    removing = [e for e in early if removes(e)]
    if not removing:
        return "none takes the mean score of harmful prompts below 0"
    found = min(removing, key=lambda e: (e.kl, *in_order(e)))
    return (
        f"the cheapest that takes the mean score of harmful prompts below 0 (layer {found.layer}, "
        f"position {found.position}, to {bypass_of(found):+z.2f}) costs KL {found.kl:.3f}"
        + (
            f" and, added, induces {induce_of(found):+z.2f} (floor {round(floor, 2):g} nats)"
            if induce_of(found) < floor
            else ""
        )
    )
