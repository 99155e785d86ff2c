"""Fits of single prompts summarized with prompts, not masks, as the cases."""

import statistics
from collections import Counter
from collections.abc import Sequence

from sae_audit.findings import (
    FitOverPrompts,
    InteractionGraph,
    InteractionsOverPrompts,
    PairInteraction,
    PairKind,
    PairOverPrompts,
)
from sae_audit.statistics import mean, median, share
from sae_audit.vocabulary import FeatureId

_FEWEST = 2
"""Prompts; the minimum on which a pair is named, and for a number over prompts, whose interval needs
five."""
_Pair = tuple[FeatureId, FeatureId]
_Fitted = tuple[PairInteraction, InteractionGraph]
"""A pair of one prompt's fit, and that fit."""


def over_prompts(
    graphs: Sequence[InteractionGraph],
    pooled: InteractionGraph | None,
    *,
    n_shuffles: int,
) -> InteractionsOverPrompts:
    """Summary of the `graphs` of single prompts, fitted with `n_shuffles`, and of the pooled fit."""
    fitted = [graph for graph in graphs if graph.fits]
    naming = [bool(graph.named) for graph in fitted]
    r2 = [graph.r2 for graph in fitted if graph.r2 is not None]
    enough = len(r2) >= _FEWEST
    return InteractionsOverPrompts(
        fits=_fits(fitted) if len(fitted) >= _FEWEST else (),
        curve=mean([one.curve.value for one in r2]) if enough else None,
        pairs_over_curve=mean([one.pairs_over_curve.value for one in r2]) if enough else None,
        predicting=share(sum(graph.predicts for graph in fitted), len(fitted)) if fitted else None,
        naming=share(sum(naming), len(naming)) if naming else None,
        naming_under_null=1.0 / (n_shuffles + 1),
        pairs=_pairs(graphs, pooled),
    )


def _fits(graphs: Sequence[InteractionGraph]) -> tuple[FitOverPrompts, ...]:
    found: list[FitOverPrompts] = []
    # Every prompt is fitted by the same solvers; the installation decides which.
    for same in zip(*(graph.fits for graph in graphs), strict=True):
        (solver,) = {fit.solver for fit in same}
        gains = [fit.gain.value for fit in same if fit.gain is not None]
        found.append(
            FitOverPrompts(
                solver=solver,
                r2_held_out=mean([fit.r2_held_out.value for fit in same]),
                gain=mean(gains) if gains else None,
            )
        )
    return tuple(sorted(found, key=lambda fit: -fit.r2_held_out.value))


def _pairs(
    graphs: Sequence[InteractionGraph], pooled: InteractionGraph | None
) -> tuple[PairOverPrompts, ...]:
    named = {
        (pair.a, pair.b)
        for pair in (pooled.pairs if pooled is not None else ())
        if pair.kind is not PairKind.UNCLEAR
    }
    found: dict[_Pair, list[_Fitted]] = {pair: [] for pair in named}
    for graph in graphs:
        for pair in graph.pairs:
            found.setdefault((pair.a, pair.b), []).append((pair, graph))
    listed = {
        pair: of_pair
        for pair, of_pair in found.items()
        if pair in named or _n_named(of_pair) >= _FEWEST
    }
    order = sorted(listed, key=lambda pair: (-_n_named(listed[pair]), pair))
    return tuple(_pair(pair, listed[pair]) for pair in order)


def _pair(pair: _Pair, found: Sequence[_Fitted]) -> PairOverPrompts:
    kinds = Counter(one.kind for one, _ in found)
    known = len(found) >= _FEWEST
    chance = [graph.null_weight for _, graph in found if graph.null_weight is not None]
    assert len(chance) == len(found), "a pair without its chance level"
    return PairOverPrompts(
        a=pair[0],
        b=pair[1],
        n_redundant=kinds[PairKind.REDUNDANT],
        n_shared_path=kinds[PairKind.SHARED_PATH],
        n_fitted=len(found),
        weight=median([one.weight for one, _ in found]) if known else None,
        null_weight=statistics.median(chance) if known else None,
    )


def _n_named(found: Sequence[_Fitted]) -> int:
    return sum(pair.kind is not PairKind.UNCLEAR for pair, _ in found)
