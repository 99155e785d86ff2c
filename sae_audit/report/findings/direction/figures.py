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
    StoppedDirection,
)
from sae_audit.pages.charts import HARMFUL, MUTED, OWN, styled
from sae_audit.report.findings.direction.rows import (
    NOT_ASKED,
    STOPPED,
    StoppedRow,
    stopped_rows,
)
from sae_audit.report.marks import layer_ticks

_SMALLEST_KL = 1e-6
"""Lower end of KL's logarithmic colour scale, nats."""
_DECADES = {
    "tickvals": list(range(-6, 3)),
    "ticktext": [f"{10.0**power:g}" for power in range(-6, 3)],
}


def measured(found: Direction | NoDirection, measure: DirectionMeasure) -> go.Figure:
    """One measure over layer and template position: a star on the chosen place, crosses on those that
    break a limit, and uncoloured rings on candidates not asked on all prompts."""
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
    breaking = [one for one in found.evaluations if one.failed]
    _mark(figure, breaking, "x", 8, "breaks a limit")
    _mark(figure, stopped, "circle-open", 7, "not asked on all prompts", measure.name)
    chosen = [found.selected] if isinstance(found, Direction) else []
    _mark(figure, chosen, "star", 14, "chosen")
    styled(figure, height=150 + 24 * len(layers), x="template position", y="layer")
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(showgrid=False, **layer_ticks(layers))
    return figure.update_layout(margin={"l": 48, "r": 8, "t": 12, "b": 48})


def against_kl(found: Direction | NoDirection, kl_limit: float) -> go.Figure:
    """The first measure of the selection (bypass) of every candidate against its KL, with the limit.

    Candidates that were not asked on all prompts are rings, at the means over their first prompts, if
    these were asked both.
    """
    measure = found.selection.measures[0]
    chosen = found.selected if isinstance(found, Direction) else None
    others = [one for one in found.evaluations if one != chosen]
    kinds = (
        ("not asked on all prompts", "circle-open", 7, MUTED, list(found.stopped)),
        ("breaks a limit", "x", 8, HARMFUL, [one for one in others if one.failed]),
        ("passes every filter", "circle", 8, OWN, [one for one in others if not one.failed]),
        ("chosen", "star", 15, OWN, [chosen] if chosen else []),
    )
    figure = go.Figure()
    for name, symbol, size, colour, candidates in kinds:
        both = [(one, _value(one, measure)) for one in candidates if one.kl is not None]
        points = [(one, value) for one, value in both if value is not None]
        figure.add_trace(
            go.Scatter(
                x=[max(one.kl or 0.0, _SMALLEST_KL) for one, _ in points],
                y=[value for _, value in points],
                mode="markers",
                marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": 1}},
                text=[_said(one) for one, _ in points],
                hovertemplate="%{text}<br>%{y:.3f}, KL %{x:.4f}<extra></extra>",
                name=name,
            )
        )
    styled(
        figure, height=340, x="KL on harmless prompts (nats)", y=f"{measure.title} {measure.unit}"
    )
    figure.update_xaxes(type="log", exponentformat="none")
    figure.add_vline(x=kl_limit, line={"color": MUTED, "dash": "dot", "width": 1.5})
    return figure


def _value(one: DirectionEvaluation | StoppedDirection, measure: DirectionMeasure) -> float | None:
    if isinstance(one, DirectionEvaluation):
        return one.measure(measure.name)
    return one.bypass if measure.name == "bypass" else None


def _said(one: DirectionEvaluation | StoppedDirection) -> str:
    place = f"layer {one.layer}, position {one.position}"
    if isinstance(one, DirectionEvaluation):
        return f"{place}{': ' if one.failed else ''}{escape(', '.join(one.failed))}"
    return f"{place}: {STOPPED[one.reason]}; bypass on {one.n_bypass}, KL on {one.n_kl} prompts"


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
