"""Counts over the interaction graphs of many prompts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sae_audit.findings import InteractionGraph, PairInteraction, PairKind
from sae_audit.vocabulary import FeatureId


@dataclass(frozen=True, kw_only=True)
class RecurringPair:
    """A pair of features that is named, not unclear, for several prompts."""

    a: FeatureId
    b: FeatureId
    n_redundant: int
    n_shared_path: int
    n_fitted: int
    """Prompts whose fit holds both features."""
    median_weight: float
    """Over those prompts, nats."""


def pooled_graph(graphs: Sequence[InteractionGraph]) -> InteractionGraph | None:
    return next((graph for graph in graphs if graph.scope == "pooled"), None)


def prompt_graphs(graphs: Sequence[InteractionGraph]) -> list[InteractionGraph]:
    return [graph for graph in graphs if graph.scope != "pooled"]


CLASSIFIERS = {
    "logistic_l1": "L1 logistic regression on pairs",
    "fm_probit": "FM, probit",
}


def any_order_r2(graph: InteractionGraph) -> float | None:
    """Held-out R2 of the solver with terms of any order; None where it was not fitted."""
    return next((fit.r2_held_out for fit in graph.fits if fit.solver == "walsh"), None)


def kind_counts(graphs: Sequence[InteractionGraph]) -> dict[PairKind, int]:
    counts = Counter(pair.kind for graph in graphs for pair in graph.pairs)
    return {kind: counts[kind] for kind in PairKind}


def clear_pairs(graph: InteractionGraph) -> list[PairInteraction]:
    return [pair for pair in graph.pairs if pair.kind != PairKind.UNCLEAR]


def recurring_pairs(graphs: Sequence[InteractionGraph], limit: int) -> list[RecurringPair]:
    """The pairs named for most prompts, two at least, most frequent first."""
    by_pair: dict[tuple[FeatureId, FeatureId], list[PairInteraction]] = {}
    for graph in graphs:
        for pair in graph.pairs:
            by_pair.setdefault((pair.a, pair.b), []).append(pair)
    rows = [_recurring(a, b, pairs) for (a, b), pairs in by_pair.items()]
    rows = [row for row in rows if row.n_redundant + row.n_shared_path >= 2]
    rows.sort(key=lambda row: (-row.n_redundant - row.n_shared_path, row.a, row.b))
    return rows[:limit]


def _recurring(a: FeatureId, b: FeatureId, pairs: Sequence[PairInteraction]) -> RecurringPair:
    kinds = Counter(pair.kind for pair in pairs)
    return RecurringPair(
        a=a,
        b=b,
        n_redundant=kinds[PairKind.REDUNDANT],
        n_shared_path=kinds[PairKind.SHARED_PATH],
        n_fitted=len(pairs),
        median_weight=median(pair.weight for pair in pairs),
    )
