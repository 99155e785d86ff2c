"""Measures of every direction that was tried."""

from collections.abc import Sequence
from html import escape
from math import log10

import plotly.graph_objects as go

from sae_audit.findings import (
    Direction,
    DirectionEvaluation,
    DirectionMeasure,
    NoDirection,
)
from sae_audit.pages.charts import MUTED, styled
from sae_audit.report.findings.direction.rows import NOT_ASKED, StoppedRow, stopped_rows
from sae_audit.report.marks import layer_ticks

_SMALLEST_KL = 1e-6
"""Lower end of KL's logarithmic colour scale, nats."""
_DECADES = {
    "tickvals": list(range(-6, 3)),
    "ticktext": [f"{10.0**power:g}" for power in range(-6, 3)],
}


def measured(found: Direction | NoDirection, measure: DirectionMeasure) -> go.Figure:
    """One measure over layer and template position, with stars on the chosen place, crosses on discarded
    ones, and uncoloured rings on candidates not asked on all prompts."""
    stopped = stopped_rows(found)
    positions = sorted({e.position for e in (*found.evaluations, *stopped)})
    layers = sorted({e.layer for e in (*found.evaluations, *stopped)})
    by_place = {(e.layer, e.position): e.measure(measure.name) for e in found.evaluations}
    grid = [[by_place.get((layer, p)) for p in positions] for layer in layers]
    scale = _log if measure.logarithmic else float
    figure = go.Figure(
        go.Heatmap(
            x=[str(p) for p in positions],
            y=layers,
            z=[[None if v is None else scale(v) for v in row] for row in grid],
            customdata=grid,
            colorscale="Viridis",
            colorbar={"thickness": 8, "len": 1.0, "title": {"text": ""}}
            | (_DECADES if measure.logarithmic else {}),
            hovertemplate="layer %{y}, position %{x}: %{customdata:.4f} "
            f"{escape(measure.unit)}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    discarded = [one for one in found.evaluations if one.failed]
    _mark(figure, discarded, "x", 8, "discarded")
    _mark(figure, stopped, "circle-open", 7, "not asked on all prompts", measure.name)
    chosen = [found.selected] if isinstance(found, Direction) else []
    _mark(figure, chosen, "star", 14, "chosen")
    styled(figure, height=150 + 24 * len(layers), x="template position", y="layer")
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(showgrid=False, **layer_ticks(layers))
    return figure.update_layout(margin={"l": 48, "r": 8, "t": 12, "b": 48})


def _mark(
    figure: go.Figure,
    candidates: Sequence[DirectionEvaluation | StoppedRow],
    symbol: str,
    size: int,
    name: str,
    measure: str = "",
) -> None:
    """Add a mark for each candidate, with its number of `measure` shown on hover if it has one."""
    text = [
        f"layer {e.layer}, position {e.position}: {e.so_far.get(measure, NOT_ASKED)}; {e.reason}"
        for e in candidates
        if isinstance(e, StoppedRow)
    ]
    hollow = symbol.endswith("-open")
    figure.add_trace(
        go.Scatter(
            x=[str(e.position) for e in candidates],
            y=[e.layer for e in candidates],
            mode="markers",
            marker={
                "symbol": symbol,
                "size": size,
                "color": MUTED if hollow else "#ffffff",
                "line": {"color": MUTED if hollow else "#000000", "width": 1},
            },
            text=text or None,
            hoverinfo="text" if text else "skip",
            name=name,
            showlegend=False,
        )
    )


def _log(value: float) -> float:
    return log10(max(value, _SMALLEST_KL))
