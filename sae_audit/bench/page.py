"""The bench as one self-contained page."""

from collections.abc import Sequence

import plotly.graph_objects as go

from sae_audit.bench.results import STAGES, BenchResult, Summary
from sae_audit.pages.charts import styled
from sae_audit.pages.document import document

_MAIN = {
    "candidates": "recall",
    "minimal sets": "exact",
    "interactions": "AUROC redundant",
    "cascades": "exact",
}
"""The measure each stage is drawn by."""


def render(result: BenchResult) -> str:
    figures = {stage.replace(" ", "-"): _by_family(result.families, stage) for stage in STAGES}
    return document(
        "sae_audit.bench",
        "page.html.j2",
        figures,
        result=result,
        stages=[(stage, stage.replace(" ", "-"), _MAIN[stage]) for stage in STAGES],
        tables={stage: _tables(result.summaries, stage) for stage in STAGES},
        cell=cell,
        n_models=len({str(row.case) for row in result.rows}),
    )


def cell(summary: Summary, measure: str) -> str:
    """One measure with its interval; a dash where no model has what it would be of."""
    found = summary.measures[measure]
    if found is None:
        return "–"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _tables(summaries: Sequence[Summary], stage: str) -> dict[str, list[Summary]]:
    """By kind of SAE, the methods of one stage."""
    found: dict[str, list[Summary]] = {}
    for summary in summaries:
        if summary.stage == stage:
            found.setdefault(summary.group, []).append(summary)
    return found


def _by_family(summaries: Sequence[Summary], stage: str) -> go.Figure:
    """Method by family, the stage's main measure."""
    own = [summary for summary in summaries if summary.stage == stage]
    families = list(dict.fromkeys(summary.group for summary in own))
    methods = list(dict.fromkeys(summary.method for summary in own))[::-1]
    values = {
        (one.method, one.group): (None if found is None else found.value)
        for one in own
        for found in (one.measures[_MAIN[stage]],)
    }
    grid = [[values.get((method, family)) for family in families] for method in methods]
    text = [["" if value is None else f"{value:.2f}" for value in row] for row in grid]
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            x=families,
            y=methods,
            text=text,
            texttemplate="%{text}",
            zmin=0.0,
            zmax=1.0,
            colorscale=[[0.0, "#D55E00"], [0.5, "#F0E442"], [1.0, "#009E73"]],
            showscale=False,
            hovertemplate="%{y} on %{x}: %{z:.2f}<extra></extra>",
        )
    )
    figure.update_xaxes(tickangle=-35)
    return styled(figure, height=160 + 30 * len(methods))
