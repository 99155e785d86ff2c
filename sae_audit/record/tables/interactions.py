"""Tables of fits, pairs and triples."""

from collections.abc import Sequence

import pandas as pd

from sae_audit.findings import InteractionGraph, InteractionsOverPrompts
from sae_audit.record.tables.columns import bounds

_PAIR_COLUMNS = [
    *("scope", "a", "b", "weight", "low", "high", "kind", "lasso"),
    *("beyond_curve", "curve_low", "curve_high"),
]
_FIT_COLUMNS = [
    "scope",
    "n_prompts",
    "n_masks",
    "n_held_out",
    "solver",
    "r2_held_out",
    "r2_held_out_low",
    "r2_held_out_high",
    "gain",
    "gain_low",
    "gain_high",
    "null_weight",
]


def interaction_fits(graphs: Sequence[InteractionGraph]) -> pd.DataFrame:
    """One row per fit; `gain` is over the linear model, the null is of the graph's own solver."""
    return pd.DataFrame(
        [
            {
                "scope": graph.scope,
                "n_prompts": graph.n_prompts,
                "n_masks": graph.n_masks,
                "n_held_out": graph.n_held_out,
                "solver": fit.solver,
                **bounds("r2_held_out", fit.r2_held_out),
                **bounds("gain", fit.gain),
                "null_weight": graph.null_weight if fit.solver == graph.solver else None,
            }
            for graph in graphs
            for fit in graph.fits
        ],
        columns=_FIT_COLUMNS,
    )


def pairs_over_prompts(found: InteractionsOverPrompts | None) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "a": str(pair.a),
                "b": str(pair.b),
                "n_redundant": pair.n_redundant,
                "n_shared_path": pair.n_shared_path,
                "n_fitted": pair.n_fitted,
                **bounds("weight", pair.weight),
                "null_weight": pair.null_weight,
            }
            for pair in (found.pairs if found else ())
        ]
    )


def pairs(graphs: Sequence[InteractionGraph]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "scope": graph.scope,
                "a": str(pair.a),
                "b": str(pair.b),
                "weight": pair.weight,
                "low": pair.low,
                "high": pair.high,
                "kind": pair.kind.value,
                "lasso": pair.lasso,
                "beyond_curve": pair.beyond_curve,
                "curve_low": pair.curve_low,
                "curve_high": pair.curve_high,
            }
            for graph in graphs
            for pair in graph.pairs
        ],
        columns=_PAIR_COLUMNS,
    )


def triples(graphs: Sequence[InteractionGraph]) -> pd.DataFrame:
    columns = ["scope", "a", "b", "c", "weight", "low", "high", "null_triple"]
    rows = [
        (graph.scope, str(t.a), str(t.b), str(t.c), t.weight, t.low, t.high, graph.null_triple)
        for graph in graphs
        for t in graph.triples
    ]
    return pd.DataFrame(rows, columns=columns)
