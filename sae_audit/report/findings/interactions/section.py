"""Redundant features and features on one path, pooled and by prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import InteractionGraph, PairKind
from sae_audit.pages.wording import interval
from sae_audit.record.run import Run
from sae_audit.report.findings.interactions.counts import (
    CLASSIFIERS,
    clear_pairs,
    curve_sentence,
    fit_rows,
    kind_counts,
    naming_sentence,
    pooled_sentences,
    predicting_sentence,
    r2_over_prompts,
    recurring_pairs,
    solver_name,
)
from sae_audit.report.findings.interactions.figures import pair_weights, r_squared
from sae_audit.report.section import Figures, Part, Section, SummaryRow, unless_stopped_early

_PAIRS = 25
"""Rows of the table of most frequent pairs."""


def _rows(run: Run) -> Sequence[SummaryRow]:
    return [_answered(run)]


def _answered(run: Run) -> SummaryRow:
    question = "Do features interact?"
    pooled, prompts = run.pooled_graph, [graph for graph in run.prompt_graphs if graph.pairs]
    by_prompt = f"Prompt by prompt ({len(prompts)} fits): {_kinds(prompts)}." if prompts else ""
    controls = [_over_prompts(run)] if prompts else []
    if pooled is not None and pooled.pairs:
        answer = (
            f"On the mean score over {pooled.n_prompts} prompts: {_kinds([pooled])}. {by_prompt}"
        )
        controls.insert(0, _pooled(pooled))
    elif prompts:
        answer = by_prompt
    else:
        answer, controls = "No fit was possible.", ["None."]
    return SummaryRow(
        question=question,
        answer=answer,
        control=" ".join(one for one in controls if one),
        part=Part.EXTENT,
    )


def _pooled(graph: InteractionGraph) -> str:
    if graph.explained is not None:
        return (
            f"Of the variance over all ablations, every one scored, pairs explain "
            f"{graph.explained.pairs:.3f}, single features {graph.explained.linear:.3f}, a monotone "
            f"curve over them {graph.explained.curve:.3f}. {graph.why_unnamed}".rstrip()
        )
    assert graph.r2 is not None, "a fit without its R2"
    assert graph.null_weight is not None, "a fit without its chance level"
    return (
        f"R² on {graph.n_held_out} held-out ablations is {interval(graph.r2.solver)}, without "
        f"pairs {interval(graph.r2.linear)}: a gain of {interval(graph.r2.gain)}. "
        f"{curve_sentence(graph)} A pair counts only beyond chance ({graph.null_weight:.2f} nats), "
        "beyond the curve, and where a second solver agrees."
    )


def _over_prompts(run: Run) -> str:
    found = run.interactions_over_prompts
    assert found is not None, "prompts fitted, and not counted"
    r2 = r2_over_prompts(found, run.config.interactions.solver)
    gain = (
        f"Over {r2['gain'].n} prompts pairs raise the mean R² from {interval(r2['linear'])} to "
        f"{interval(r2['solver'])}, by {interval(r2['gain'])}. "
        if r2
        else ""
    )
    return f"{gain}{predicting_sentence(found)} {naming_sentence(found)}"


def _kinds(graphs: list[InteractionGraph]) -> str:
    counts = kind_counts(graphs)
    named = {kind.value.replace("_", " "): n for kind, n in counts.items()}
    return (
        f"of {sum(named.values())} pairs {named['redundant']} redundant, "
        f"{named['shared path']} on a shared path"
    )


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
    return [
        f"Interactions are of pairs and triples, among at most {players} features; covering that takes "
        "more at once shows only as what pairs and triples leave unexplained."
    ]


SECTION = Section(
    id="interactions",
    title="Interactions",
    shown=unless_stopped_early,
    rows=_rows,
    values=_values,
    figures=_figures,
    limits=_limits,
)
