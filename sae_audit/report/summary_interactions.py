"""The row of the report's head on interactions."""

from sae_audit.findings import InteractionGraph
from sae_audit.pages.wording import interval
from sae_audit.record.run import Run
from sae_audit.report.summary_row import SummaryRow
from sae_audit.report.tables_interactions import kind_counts, naming_sentence, r2_over_prompts


def interactions_row(run: Run) -> SummaryRow:
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
        return SummaryRow(question=question, answer="No fit was possible.", control="None.")
    return SummaryRow(
        question=question, answer=answer, control=" ".join(one for one in controls if one)
    )


def _pooled(graph: InteractionGraph) -> str:
    if graph.explained is not None:
        return (
            f"Of the variance over all ablations, every one scored, pairs explain "
            f"{graph.explained.pairs:.3f}, single features {graph.explained.linear:.3f}."
        )
    assert graph.r2 is not None, "a fit without its R2"
    assert graph.null_weight is not None, "a fit without its chance level"
    return (
        f"R² on {graph.n_held_out} held-out ablations is {interval(graph.r2.solver)}, without "
        f"pairs {interval(graph.r2.linear)}: a gain of {interval(graph.r2.gain)}. A pair counts "
        f"only beyond chance ({graph.null_weight:.2f} nats) and where a second solver agrees."
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
    return gain + naming_sentence(found)


def _kinds(graphs: list[InteractionGraph]) -> str:
    counts = kind_counts(graphs)
    named = {kind.value.replace("_", " "): n for kind, n in counts.items()}
    return (
        f"of {sum(named.values())} pairs {named['redundant']} redundant, "
        f"{named['shared path']} on a shared path"
    )
