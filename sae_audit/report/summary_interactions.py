"""The row of the report's head on interactions."""

from statistics import median

from sae_audit.findings import InteractionGraph
from sae_audit.record.run import Run
from sae_audit.report.summary_row import SummaryRow
from sae_audit.report.tables_interactions import kind_counts, pooled_graph, prompt_graphs


def interactions_row(run: Run) -> SummaryRow:
    question = "Do features interact?"
    pooled = pooled_graph(run.interactions)
    prompts = [graph for graph in prompt_graphs(run.interactions) if graph.pairs]
    by_prompt = f"Prompt by prompt ({len(prompts)} fits): {_kinds(prompts)}." if prompts else ""
    if pooled is not None and pooled.pairs:
        where = "held-out ablations" if pooled.n_held_out else "all ablations, exactly"
        return SummaryRow(
            question=question,
            answer=f"On the mean score over several prompts: {_kinds([pooled])}. {by_prompt}",
            control=f"With pairs, R² on {where} is {pooled.r2_held_out:.3f}; without, "
            f"{pooled.r2_linear:.3f}. A pair counts only beyond chance "
            f"({pooled.null_weight:.2f} nats) and where a second solver agrees.",
        )
    if not prompts:
        return SummaryRow(question=question, answer="No fit was possible.", control="None.")
    r2, linear = (median(v) for v in zip(*map(_r_squared, prompts), strict=True))
    return SummaryRow(
        question=question,
        answer=by_prompt,
        control=f"With pairs, the median R² is {r2:.3f}; without, {linear:.3f}.",
    )


def _kinds(graphs: list[InteractionGraph]) -> str:
    counts = kind_counts(graphs)
    named = {kind.value.replace("_", " "): n for kind, n in counts.items()}
    return (
        f"of {sum(named.values())} pairs {named['redundant']} redundant, "
        f"{named['shared path']} on a shared path"
    )


def _r_squared(graph: InteractionGraph) -> tuple[float, float]:
    return graph.r2_held_out, graph.r2_linear
