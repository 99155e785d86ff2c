"""Redundant features and features on one path, pooled and by prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import PairKind
from sae_audit.record.run import Run
from sae_audit.report.findings.interactions.counts import (
    CLASSIFIERS,
    clear_pairs,
    fit_rows,
    kind_counts,
    naming_sentence,
    pooled_sentences,
    predicting_sentence,
    recurring_pairs,
    solver_name,
)
from sae_audit.report.findings.interactions.figures import pair_weights, r_squared
from sae_audit.report.findings.interactions.summary import summary_rows
from sae_audit.report.section import Figures, Section, unless_stopped_early

_PAIRS = 25
"""Rows of the table of most frequent pairs."""


def _values(run: Run) -> Mapping[str, Any]:
    pooled, prompts, over = run.pooled_graph, run.prompt_graphs, run.interactions_over_prompts
    return {
        "solver_name": solver_name,
        "pooled": pooled,
        "pooled_sentences": pooled_sentences(pooled, run.config.interactions.n_shuffles)
        if pooled and pooled.pairs
        else (),
        "pooled_kinds": _counted(kind_counts([pooled] if pooled else [])),
        "classifiers": CLASSIFIERS,
        "clear_pairs": clear_pairs(pooled, over) if pooled else [],
        "prompt_kinds": _counted(kind_counts(prompts)),
        "over_prompts": over,
        "naming": naming_sentence(over) if over else "",
        "predicting": predicting_sentence(over) if over else "",
        "recurring": recurring_pairs(over, _PAIRS),
        "fits": fit_rows(run.interactions),
        "n_fitted": sum(bool(graph.fits) for graph in prompts),
        "n_exact": sum(graph.solver == "exact" for graph in prompts),
        "n_unfitted": sum(not graph.pairs for graph in prompts),
    }


def _counted(counts: dict[PairKind, int]) -> str:
    named = ", ".join(f"{n} {kind.value.replace('_', ' ')}" for kind, n in counts.items())
    return f"Of {sum(counts.values())} pairs: {named}"


def _figures(run: Run) -> Figures:
    drawn: Figures = {}
    pooled = run.pooled_graph
    if pooled is not None and pooled.pairs:
        drawn["pairs"] = pair_weights(pooled)
    if any(graph.fits for graph in run.interactions):
        drawn["r_squared"] = r_squared(run.interactions)
    return drawn


def _limits(run: Run) -> Sequence[str]:
    players = run.config.interactions.max_players
    n, n_refused = len(run.prompt_graphs), len(run.minimal_sets)
    fewer = (
        f"Interactions were measured on {n} of {n_refused} refused prompts (interactions.prompts)."
    )
    return [
        *([fewer] if n < n_refused else []),
        f"Interactions are of pairs and triples, among at most {players} features; covering that takes "
        "more at once shows only as what pairs and triples leave unexplained.",
    ]


SECTION = Section(
    id="interactions",
    title="Interactions",
    shown=unless_stopped_early,
    rows=summary_rows,
    values=_values,
    figures=_figures,
    limits=_limits,
)
