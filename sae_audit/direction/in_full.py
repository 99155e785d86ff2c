"""Choosing among candidates that are each asked about on all prompts, except those in cut layers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sae_audit.direction.filters import (
    Filter,
    Order,
    best,
    first_cut_layer,
    is_finite,
    judged,
    nearest,
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
    """Candidates with a nonzero vector, outside the cut layers."""
    first_cut = first_cut_layer(n_layers, layer_cut)
    lengths = np.linalg.norm(candidates.vectors, axis=1)
    pointing = np.isfinite(lengths) & (lengths > 0.0)
    return [c for c in np.flatnonzero(pointing).tolist() if candidates.layers[c] < first_cut]


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
    """The first candidate in order that passes every filter, or how near the nearest came.

    `evaluations` are all that were asked about; those with a number that is not finite are reported as
    stopped. Bypass and induce of the candidate shown are asked here and have no part in the choice.
    """
    finite = [judged(e, filters) for e in evaluations if is_finite(e)]
    selected = best(finite, filters, order)
    reason = (
        f"None of {len(candidates)} directions passes the filters: the lowest KL is "
        f"{min(e.kl for e in finite):.3f} nats."
        if finite
        else none_below(first_cut, n_tried=len(candidates))
    )
    absent = nearest(finite, filters, order, reason=reason)
    shown = selected or absent.evaluation
    if shown is not None:
        whole = _with_scores(shown, candidates, effects)
        finite[finite.index(shown)] = whole
        selected, absent = selected and whole, replace(absent, evaluation=whole)
    return Choice(
        selected=selected or absent,
        evaluations=tuple(finite),
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
