"""Counts over the interaction graphs of many prompts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sae_audit.findings import (
    Estimate,
    InteractionGraph,
    InteractionsOverPrompts,
    PairInteraction,
    PairKind,
    PairOverPrompts,
)
from sae_audit.pages.wording import NO_VALUE, interval

CLASSIFIERS = {
    "logistic_main": "L1 logistic regression, no pairs",
    "logistic_l1": "L1 logistic regression on pairs",
    "fm_probit": "FM, probit",
}

SOLVER_NAMES = {
    "linear": "linear, no pairs",
    "lasso": "lasso on pairs",
    "fm_als": "FM, ALS",
    "fm_bayes": "FM, MCMC",
    "walsh": "sparse, any order",
}


@dataclass(frozen=True, kw_only=True)
class FitRow:
    """One fit, in words."""

    graph: InteractionGraph
    solver: str
    leading: tuple[Estimate | None, ...]
    """R2 of the solver, what pairs add to the linear model's, and to that of the curve over single
    effects; None of a graph that was not fitted."""
    null_weight: str
    rest: tuple[str, ...]
    """Every other number, in words."""
    counts: tuple[int, ...]
    """Redundant, shared path, unclear."""
    note: str


def fit_rows(graphs: Sequence[InteractionGraph]) -> list[FitRow]:
    return [
        FitRow(
            graph=graph,
            solver=solver_name(graph.solver) if graph.pairs else NO_VALUE,
            leading=_leading(graph),
            null_weight=_three_places(graph.null_weight),
            rest=tuple(_rest(graph)),
            counts=tuple(kind_counts([graph]).values()),
            note=_note(graph),
        )
        for graph in graphs
    ]


def solver_name(solver: str) -> str:
    return SOLVER_NAMES.get(solver, solver)


def pooled_sentences(graph: InteractionGraph, n_shuffles: int) -> tuple[str, str, str]:
    """Sentences on the scored sets, on the fit with its null, and on the prompts."""
    masks = "masks, all there are" if graph.design == "all" else "random masks"
    apart = f", {graph.n_held_out} of them kept apart" if graph.r2 else ""
    plural = "s" if graph.n_prompts != 1 else ""
    scored = (
        f"{len(graph.players)} features, the mean over {graph.n_prompts} prompt{plural}, "
        f"{graph.n_masks} {masks}{apart}."
    )
    of = "this prompt as it is" if not plural else f"these {graph.n_prompts} prompts as they are"
    return scored, _fitted(graph, n_shuffles), of


def _fitted(graph: InteractionGraph, n_shuffles: int) -> str:
    if graph.explained is not None:
        return (
            "Weights are computed, not fitted: every set was scored, and over masks there is no "
            f"sampling error. Single features explain {graph.explained.linear:z.3f} of the variance "
            f"over all masks, with pairs {graph.explained.pairs:z.3f}, a monotone curve over single "
            f"effects {graph.explained.curve:z.3f}. {graph.why_unnamed} A weight below "
            f"{graph.null_weight:z.2f} nats is called negligible."
        )
    assert graph.r2 is not None, "a fit without its R2"
    rank = f", rank {graph.rank}" if graph.rank else ""
    return (
        f"Reported solver: {solver_name(graph.solver)}{rank}. Held-out R² {interval(graph.r2.solver)} "
        f"against {interval(graph.r2.linear)} for the linear model: a gain of "
        f"{interval(graph.r2.gain)}. Chance level of a weight: {graph.null_weight:z.3f} nats, the "
        f"largest that {n_shuffles} refits with shuffled errors give. {curve_sentence(graph)}"
    )


def curve_sentence(graph: InteractionGraph) -> str:
    """What one curve over single effects explains, what pairs add to it, and if they may be named."""
    assert graph.r2 is not None, "a fit without its R2"
    r2 = graph.r2
    return (
        f"One monotone curve over single effects, without a pair, reaches {interval(r2.curve)}; pairs "
        f"add {interval(r2.pairs_over_curve)} to it, and {interval(r2.pairs_over_linear)} to single "
        f"effects. {graph.why_unnamed or 'So pairs may be named.'}"
    )


def _leading(graph: InteractionGraph) -> tuple[Estimate | None, ...]:
    r2 = graph.r2
    return (None,) * 3 if r2 is None else (r2.solver, r2.pairs_over_linear, r2.pairs_over_curve)


def _rest(graph: InteractionGraph) -> Iterator[str]:
    yield f"prompts {graph.n_prompts}, features {len(graph.players)}"
    yield f"masks {graph.n_masks}, kept apart {graph.n_held_out}"
    if graph.rank:
        yield f"rank {graph.rank}"
    if (r2 := graph.r2) is not None:
        yield f"linear R² {interval(r2.linear)}"
        yield f"curve R² {interval(r2.curve)}"
        yield f"best pairwise R² {interval(r2.pairs)}"
        yield f"R² on half the masks {interval(r2.half_masks)}"
    if graph.null_triple is not None:
        yield f"triples {len(graph.triples)}, chance triple {graph.null_triple:z.3f} nats"


def _note(graph: InteractionGraph) -> str:
    if not graph.pairs:
        return graph.reason
    return " ".join(part for part in (_exact(graph), graph.why_unnamed) if part)


def _exact(graph: InteractionGraph) -> str:
    if graph.explained is None:
        return ""
    return (
        "exact: every set was scored; variance explained by single features "
        f"{graph.explained.linear:z.3f}, with pairs {graph.explained.pairs:z.3f}, a curve "
        f"{graph.explained.curve:z.3f}"
    )


def _three_places(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:z.3f}"


def kind_counts(graphs: Sequence[InteractionGraph]) -> dict[PairKind, int]:
    counts = Counter(pair.kind for graph in graphs for pair in graph.pairs)
    return {kind: counts[kind] for kind in PairKind}


def clear_pairs(
    graph: InteractionGraph, found: InteractionsOverPrompts | None
) -> list[tuple[PairInteraction, PairOverPrompts | None]]:
    """The named pairs, each with its result over single prompts' fits."""
    rows = {(row.a, row.b): row for row in found.pairs} if found else {}
    return [
        (pair, rows.get((pair.a, pair.b)))
        for pair in graph.pairs
        if pair.kind is not PairKind.UNCLEAR
    ]


def recurring_pairs(found: InteractionsOverPrompts | None, limit: int) -> list[PairOverPrompts]:
    """Pairs named on at least two prompts, the most frequent first."""
    rows = found.pairs if found else ()
    return [row for row in rows if row.n_redundant + row.n_shared_path >= 2][:limit]


def naming_sentence(found: InteractionsOverPrompts) -> str:
    """Number of prompts that name any pair, and its null; empty if none was fitted."""
    if found.naming is None:
        return ""
    n, chance = found.naming.n, found.naming_under_null
    return (
        f"{round(found.naming.value * n)} of {n} fitted prompts name a pair; where nothing interacts, "
        f"chance names one on at most 1 in {round(1 / chance)}, here {chance * n:z.1f} of {n}."
    )


def predicting_sentence(found: InteractionsOverPrompts) -> str:
    """Number of prompts whose pairs predict, beside the curve's R2; empty if none was fitted."""
    if found.predicting is None:
        return ""
    n = found.predicting.n
    counted = (
        f"On {round(found.predicting.value * n)} of {n} prompts pairs predict held-out ablations better "
        "than single effects and than one curve over them; on the others none is named."
    )
    if found.curve is None or found.pairs_over_curve is None:
        return counted
    return (
        f"{counted} The curve alone reaches a mean R² of {interval(found.curve)}, to which pairs add "
        f"{interval(found.pairs_over_curve)}."
    )


def r2_over_prompts(found: InteractionsOverPrompts, solver: str) -> dict[str, Estimate] | None:
    """Mean R2 of a solver and the linear model, and the gain; None for fewer than two prompts."""
    fits = {fit.solver: fit for fit in found.fits}
    own = fits.get(solver)
    if own is None or own.gain is None:
        return None
    return {"solver": own.r2_held_out, "linear": fits["linear"].r2_held_out, "gain": own.gain}
