"""Selector of the direction that best turns one label's residual stream into the other's (COSMIC,
2506.00085).

1. Evaluation layers are those in which harmful and harmless training prompts differ most.
2. A candidate's score (`cosmic_scores`), at the last token of validation prompts in these layers, is the
   cosine of harmful prompts with the direction projected out to harmless ones, plus that of harmless
   prompts with the direction added to harmful ones.
3. The candidate with the highest score among those that pass the filters is chosen; if none does,
   marked, the one with the highest score among those that pass all but the limit of KL. No floor is set
   for the induced score: the KL alone reads output tokens.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sae_audit.config import DirectionSettings
from sae_audit.direction.filters import (
    FINITE,
    PLACE,
    Filter,
    best,
    failing,
    first_cut_layer,
    kl_filter,
    layer_filter,
)
from sae_audit.direction.in_full import choice_in_full, not_cut, rows
from sae_audit.direction.methods import (
    Asked,
    CandidateDirections,
    Choice,
    Means,
    Price,
    Selector,
    Size,
)
from sae_audit.direction.selectors.bypass import KL
from sae_audit.direction.selectors.cosmic_scores import Score, evaluation_layers, likeness
from sae_audit.findings import DirectionEvaluation, DirectionMeasure, DirectionSelection
from sae_audit.vocabulary import CandidateQuestions


def _number(name: str, title: str, *, higher_is_better: bool = True) -> DirectionMeasure:
    return DirectionMeasure(
        name=name, title=title, unit="", higher_is_better=higher_is_better, logarithmic=False
    )


MEASURES = (
    _number("cosmic", "COSMIC score"),
    _number("standard_error", "Its standard error", higher_is_better=False),
    _number("ablation_cosine", "Cosine, projected out"),
    _number("addition_cosine", "Cosine, added"),
    _number("cosmic_by_layer", "Mean of cosines by layer"),
    KL,
)
_ROWS = 256
"""Rows (candidate and prompt) asked about at once; their residual streams are held in memory."""
_Scored = list[tuple[DirectionEvaluation, Score]]


def by_cosmic(
    candidates: CandidateDirections,
    means: Means,
    effects: CandidateQuestions,
    settings: DirectionSettings,
    progress: Asked,
) -> Choice:
    """The candidate with the highest score that passes every filter."""
    n, layers = len(candidates), evaluation_layers(means)
    early = not_cut(candidates, means.n_layers, settings.layer_cut)
    scored = _scored(candidates, early, layers, effects, lambda done: progress(done, n))
    filters = (
        FINITE,
        layer_filter(means.n_layers, settings.layer_cut),
        kl_filter(settings.kl_limit),
        *_last_token_filter([e for e, _ in scored]),
    )
    found = choice_in_full(
        candidates,
        [e for e, _ in scored],
        filters,
        _in_order,
        effects,
        DirectionSelection(
            method="cosmic",
            rule="the highest COSMIC score among those that pass every filter",
            source="2506.00085",
            measures=MEASURES,
            filters=tuple(one.requires for one in filters if one.requires),
            remarks=(
                _read_at(layers, [e for e, _ in scored]),
                *_comparisons(scored, filters),
            ),
        ),
        first_cut=first_cut_layer(means.n_layers, settings.layer_cut),
    )
    progress(n, n)
    return found


def _scored(
    candidates: CandidateDirections,
    asked: Sequence[int],
    layers: Sequence[int],
    effects: CandidateQuestions,
    progress: Callable[[int], None],
) -> _Scored:
    """Evaluations and scores of the candidates `asked`, each on all prompts, in batches."""
    n_harmful, n_harmless = effects.n_harmful, effects.n_harmless
    harmful, harmless = effects.clean_streams(layers)
    size, found = max(1, _ROWS // max(n_harmful, n_harmless)), _Scored()
    for start in range(0, len(asked), size):
        progress(start)
        some = asked[start : start + size]
        without = effects.streams_without(*rows(candidates, some, n_harmful), layers)
        vectors, prompts = rows(candidates, some, n_harmless)
        added_at = [candidates.layers[c] for c in some for _ in range(n_harmless)]
        added = effects.streams_with(vectors, prompts, added_at, layers)
        kl = effects.kl(vectors, prompts).reshape(len(some), n_harmless).mean(axis=1)
        for i, c in enumerate(some):
            score = Score(
                ablated=likeness(without[i * n_harmful : (i + 1) * n_harmful], harmless),
                added=likeness(added[i * n_harmless : (i + 1) * n_harmless], harmful),
            )
            found.append((_evaluation(candidates, c, score, float(kl[i])), score))
    return found


def _evaluation(
    candidates: CandidateDirections, c: int, score: Score, kl: float
) -> DirectionEvaluation:
    return DirectionEvaluation(
        position=candidates.positions[c],
        layer=candidates.layers[c],
        bypass=None,
        induce=None,
        kl=kl,
        measures={
            "cosmic": score.value,
            "standard_error": score.standard_error,
            "ablation_cosine": score.ablated.cosine,
            "addition_cosine": score.added.cosine,
            "cosmic_by_layer": score.by_layer,
        },
    )


def _by(name: str) -> Callable[[DirectionEvaluation], tuple[float, int, int]]:
    """Sort key: highest value of this cosine, then layer, then position."""
    return lambda e: (-e.measures[name], e.layer, e.position)


_in_order = _by("cosmic")


def _last_token_filter(evaluations: Sequence[DirectionEvaluation]) -> list[Filter]:
    """The filter on candidates at the last token, by depth; empty if there is no other position.

    Every other position names two layers: that of its highest cosine projected out and that of its
    highest added. A last-token candidate deeper than the medians of both is discarded.
    """
    others = [e for e in evaluations if e.position != -1]
    if not others:
        return []
    deepest = -1.0
    for name in ("ablation_cosine", "addition_cosine"):
        by_position = ([e for e in others if e.position == p] for p in {e.position for e in others})
        deepest = max(
            deepest, float(np.median([min(own, key=_by(name)).layer for own in by_position]))
        )
    return [
        Filter(
            name="at the last token, deeper than the others speak for",
            requires=f"layer at most {deepest:g} at position -1",
            fails=lambda e: e.position == -1 and e.layer > deepest,
            verdict=lambda e: (
                f"lies at layer {e.layer} where {deepest:g} is the deepest at position -1"
            ),
            given_up=PLACE,
        )
    ]


def _read_at(layers: Sequence[int], evaluations: Sequence[DirectionEvaluation]) -> str:
    n_above = sum(e.layer > layers[-1] for e in evaluations)
    said = f"Evaluation layers: {', '.join(map(str, layers))}"
    if not n_above:
        return f"{said}."
    return (
        f"{said}; {n_above} of {len(evaluations)} candidates lie above and are not seen when added."
    )


def _comparisons(scored: _Scored, filters: Sequence[Filter]) -> list[str]:
    """Remarks: the candidates within one standard error of the chosen one, and the choice by the mean of
    cosines over layers if it differs."""
    selected = best([e for e, _ in scored], filters, _in_order)
    if selected is None:
        return []
    (own,) = (score for e, score in scored if e is selected)
    passing = [(e, score) for e, score in scored if not failing(e, filters)]
    near = [e for e, score in passing if e is not selected and score.is_near(own)]
    said = f"Within one standard error of it, over prompts: {_listed(near) or 'no other'}."
    other = min((e for e, _ in passing), key=_by("cosmic_by_layer"))
    if other is selected:
        return [said]
    of_other, of_selected = (e.measures["cosmic_by_layer"] for e in (other, selected))
    return [
        said,
        f"By the mean of cosines by layer the choice would be {_listed([other])}: {of_other:.3f}; the "
        f"chosen one has {of_selected:.3f}.",
    ]


def _listed(evaluations: Sequence[DirectionEvaluation]) -> str:
    return "; ".join(f"layer {e.layer}, position {e.position}" for e in evaluations)


def price(size: Size) -> Price:
    """Cost of every candidate outside the cut layers on every prompt, and of one's bypass and induce."""
    n_early = max(0, first_cut_layer(size.n_layers, size.layer_cut))
    each = size.n_validation * size.n_positions * n_early
    above = 1.0 - (n_early / 2 + 1) / size.n_layers
    once = 3 * size.n_validation
    return Price(
        forward_passes=3 * each + once,
        layer_passes=size.n_layers * (each * (2 + above) + once),
        edited_layer_passes=size.n_layers * (2 * each + size.n_validation),
        heads=each + 2 * size.n_validation,
        most_forward_passes=3 * each + once,
        assumed="evaluation layers near the top",
    )


SELECTOR = Selector(choose=by_cosmic, price=price)
