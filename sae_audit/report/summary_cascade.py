"""The rows of the report's head on backups, and on whether the same features are enough."""

from collections import Counter
from statistics import median

from sae_audit.pages.wording import interval, percent
from sae_audit.record.run import Run
from sae_audit.report.summary_row import SummaryRow, share_of
from sae_audit.report.tables_cascade import RAISED_NAMES


def cascade_row(run: Run) -> SummaryRow:
    question, n = "Are there hidden backups?", len(run.cascades)
    if not n:
        return SummaryRow(
            question=question, answer="Not followed: no prompt was flipped.", control="None."
        )
    depths = Counter(found.depth for found in run.cascades)
    deeper = sum(count for depth, count in depths.items() if depth > 1)
    counted = ", ".join(f"{count} at depth {depth}" for depth, count in sorted(depths.items()))
    ratios = [c.compensation_ratio for c in run.cascades if c.compensation_ratio is not None]
    stated = (
        f"The median compensation ratio is {median(ratios):+.2f} ({min(ratios):+.2f} to "
        f"{max(ratios):+.2f}) over {len(ratios)} prompts. 0: nothing covers; 1: all of the effect "
        "is undone; negative: what wakes adds to it."
        if ratios
        else "No compensation ratio could be stated."
    )
    return SummaryRow(
        question=question,
        answer=f"Dormant features wake and join in on {share_of(deeper, n)} flipped prompts: "
        f"{counted}.{_edges(run)}",
        control=f"{stated}{_by_chance(run)}",
    )


def _edges(run: Run) -> str:
    pooled = run.pooled_cascade
    if pooled is None or not pooled.edges:
        return ""
    kinds = ", ".join(f"{n} {kind.value}" for kind, n in pooled.edge_kinds.items())
    return (
        f" Tested one by one, {sum(pooled.edge_kinds.values())} edges say who wakes whom: {kinds}."
    )


def _by_chance(run: Run) -> str:
    pooled = run.pooled_cascade
    if pooled is None:
        return ""
    first = pooled.awake[0]
    return (
        f" Ablating the first wave wakes {interval(first.n_awake, '{:.0f}'.format)} dormant "
        f"features; matched random sets, {interval(first.n_random, '{:.0f}'.format)}."
    )


def sufficiency_rows(run: Run) -> list[SummaryRow]:
    found = run.sufficiency
    if found is None or not found.sets:
        return []
    raised = {one.name: one for one in found.sets}
    one = raised.get("pooled", found.sets[0])
    return [
        SummaryRow(
            question="Are the same features enough to refuse?",
            answer=f"The {RAISED_NAMES[one.name]}, set on {one.refused.n} harmless prompts to what "
            f"it is on refused ones, makes {interval(one.refused, percent)} of them refused and "
            f"raises the score by {interval(one.score_rise)} nats.",
            control=f"Random sets that write as much: {interval(one.refused_random, percent)}, "
            f"{interval(one.score_rise_random)} nats.",
        )
    ]
