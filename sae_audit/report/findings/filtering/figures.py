"""Flips against set size."""

from collections.abc import Sequence

import plotly.graph_objects as go

from sae_audit.findings import CurvePoint, Estimate
from sae_audit.pages.charts import MUTED, OWN, SET_COLOURS, styled
from sae_audit.report.marks import error_bars


def curve(points: Sequence[CurvePoint]) -> go.Figure:
    """Share of validation prompts flipped by sets of each origin, by size."""
    series: tuple[tuple[str, str, list[Estimate | None]], ...] = (
        ("greedy filtering", OWN, [one.filtered for one in points]),
        ("linear probe", SET_COLOURS["linear_probe"], [one.linear_probe for one in points]),
        ("random, matched", MUTED, [one.random for one in points]),
    )
    figure = go.Figure()
    for name, colour, estimates in series:
        shown = [(p.size, e) for p, e in zip(points, estimates, strict=True) if e is not None]
        if not shown:
            continue
        figure.add_trace(
            go.Scatter(
                x=[size for size, _ in shown],
                y=[one.value for _, one in shown],
                error_y=error_bars([one for _, one in shown]),
                mode="lines+markers",
                name=name,
                line={"color": colour},
                hovertemplate="%{x} features: %{y:.0%}<extra>" + name + "</extra>",
            )
        )
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_xaxes(type="log", tickvals=[one.size for one in points], tickformat="d")
    return styled(figure, height=340, x="features ablated", y="validation prompts flipped")
