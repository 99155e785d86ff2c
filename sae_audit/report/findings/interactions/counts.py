"""Counts over the interaction graphs of many prompts."""

from collections import Counter
from collections.abc import Sequence

from sae_audit.findings import (
    Estimate,
    InteractionGraph,
    InteractionsOverPrompts,
    PairInteraction,
    PairKind,
    PairOverPrompts,
)

CLASSIFIERS = {
    "logistic_main": "L1 logistic regression, no pairs",
    "logistic_l1": "L1 logistic regression on pairs",
    "fm_probit": "FM, probit",
}


def kind_counts(graphs: Sequence[InteractionGraph]) -> dict[PairKind, int]:
    counts = Counter(pair.kind for graph in graphs for pair in graph.pairs)
    return {kind: counts[kind] for kind in PairKind}


def clear_pairs(
    graph: InteractionGraph, found: InteractionsOverPrompts | None
) -> list[tuple[PairInteraction, PairOverPrompts | None]]:
    """The named pairs, each with what the fits of single prompts say of it."""
    rows = {(row.a, row.b): row for row in found.pairs} if found else {}
    return [
        (pair, rows.get((pair.a, pair.b)))
        for pair in graph.pairs
        if pair.kind is not PairKind.UNCLEAR
    ]


def recurring_pairs(found: InteractionsOverPrompts | None, limit: int) -> list[PairOverPrompts]:
    """The pairs named for most prompts, two at least, most frequent first."""
    rows = found.pairs if found else ()
    return [row for row in rows if row.n_redundant + row.n_shared_path >= 2][:limit]


def naming_sentence(found: InteractionsOverPrompts) -> str:
    """How many prompts name a pair at all, beside how many would by chance; empty where none was
    fitted."""
    if found.naming is None:
        return ""
    n, chance = found.naming.n, found.naming_by_chance
    return (
        f"{round(found.naming.value * n)} of {n} fitted prompts name a pair; where nothing interacts, "
        f"chance names one on at most 1 in {round(1 / chance)}, here {chance * n:.1f} of {n}."
    )


def r2_over_prompts(found: InteractionsOverPrompts, solver: str) -> dict[str, Estimate] | None:
    """Mean R2 of a solver and of the linear model, and its gain; None for fewer than two prompts."""
    fits = {fit.solver: fit for fit in found.fits}
    own = fits.get(solver)
    if own is None or own.gain is None:
        return None
    return {"solver": own.r2_held_out, "linear": fits["linear"].r2_held_out, "gain": own.gain}
