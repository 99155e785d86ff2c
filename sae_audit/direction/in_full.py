"""Choosing among candidates that are each asked about on all prompts, except those in cut layers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sae_audit.direction.filters import (
    Filter,
    Order,
    chosen,
    first_cut_layer,
    is_finite,
    judged,
    none_below,
)
from sae_audit.direction.methods import CandidateDirections, Choice
from sae_audit.findings import (
    DirectionEvaluation,
    DirectionSelection,
    StoppedDirection,
    StopReason,
)
from sae_audit.vocabulary import CandidateEffects


def not_cut(candidates: CandidateDirections, n_layers: int, layer_cut: float) -> list[int]:
    """Candidates with a nonzero vector outside the cut layers; all with one if there is none outside."""
    first_cut = first_cut_layer(n_layers, layer_cut)
    lengths = np.linalg.norm(candidates.vectors, axis=1)
    pointing = np.flatnonzero(np.isfinite(lengths) & (lengths > 0.0)).tolist()
    return [c for c in pointing if candidates.layers[c] < first_cut] or pointing


def rows(
    candidates: CandidateDirections, some: Sequence[int], n: int
) -> tuple[Float[np.ndarray, "row d_model"], list[int]]:
    """One row per candidate in `some` and prompt among the first `n`, for `CandidateEffects`."""
    return np.repeat(candidates.vectors[list(some)], n, axis=0), list(range(n)) * len(some)


def choice_in_full(
    candidates: CandidateDirections,
    evaluations: Sequence[DirectionEvaluation],
    filters: Sequence[Filter],
    order: Order,
    effects: CandidateEffects,
    selection: DirectionSelection,
    *,
    first_cut: int,
) -> Choice:
    """The first candidate in order that passes every filter or, marked, the best of the rest.

    `evaluations` are all that were asked about; those with a number that is not finite are reported as
    stopped. Bypass and induce of the chosen candidate, and of the one that would be chosen whatever it
    costs, are asked here and have no part in the choice.
    """
    finite = [judged(e, filters) for e in evaluations if is_finite(e)]
    reason = (
        f"The lowest KL is {min(e.kl for e in finite):.3f} nats."
        if any(e.layer < first_cut for e in finite)
        else none_below(first_cut, n_tried=len(candidates))
    )
    found = chosen(finite, filters, order, reason=reason)
    both = [one for one in (found.evaluation, found.without_cost_limit) if one is not None]
    shown = {(e.layer, e.position): e for e in both}
    asked = {place: _with_scores(e, candidates, effects) for place, e in shown.items()}

    def whole(e: DirectionEvaluation) -> DirectionEvaluation:
        return asked.get((e.layer, e.position), e)

    return Choice(
        selected=replace(
            found,
            evaluation=found.evaluation and whole(found.evaluation),
            without_cost_limit=found.without_cost_limit and whole(found.without_cost_limit),
        ),
        evaluations=tuple(map(whole, finite)),
        stopped=_stopped(candidates, finite, first_cut),
        selection=selection,
    )


def _with_scores(
    e: DirectionEvaluation, candidates: CandidateDirections, effects: CandidateEffects
) -> DirectionEvaluation:
    some = [candidates.at(e)]
    bypass = effects.bypass(*rows(candidates, some, effects.n_harmful))
    added = rows(candidates, some, effects.n_harmless)
    induce = effects.induce(*added, [e.layer] * effects.n_harmless)
    return replace(e, bypass=float(bypass.mean()), induce=float(induce.mean()))


def _stopped(
    candidates: CandidateDirections, finite: Sequence[DirectionEvaluation], first_cut: int
) -> tuple[StoppedDirection, ...]:
    """All other candidates: in a cut layer, or with a number that is not finite."""
    evaluated = {(e.layer, e.position) for e in finite}
    return tuple(
        StoppedDirection(
            position=position,
            layer=layer,
            bypass=None,
            n_bypass=0,
            induce=None,
            n_induce=0,
            kl=None,
            n_kl=0,
            reason=StopReason.LAYER if layer >= first_cut else StopReason.NOT_FINITE,
        )
        for layer, position in zip(candidates.layers, candidates.positions, strict=True)
        if (layer, position) not in evaluated
    )
