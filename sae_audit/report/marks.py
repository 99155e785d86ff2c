"""Marks shared by several figures of the report."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from sae_audit.findings import Estimate
from sae_audit.pages.charts import HARMFUL, HARMLESS, MUTED, SET_COLOURS, SET_LABELS, styled
from sae_audit.pages.wording import interval, percent

LABEL_COLOURS = {"harmful": HARMFUL, "harmless": HARMLESS}
LABEL_SYMBOLS = {"harmful": "circle", "harmless": "diamond"}
_BAR = "#66717F"
"""Colour of error bars, visible on white, on black, and on every bar."""


def unlegended(figure: go.Figure) -> go.Figure:
    """The figure without the space for a legend above it."""
    return figure.update_layout(margin={"t": 8})


def layer_ticks(layers: Sequence[int]) -> dict[str, Any]:
    """A tick at each layer, or at as many as are readable."""
    return {"tick0": 0, "dtick": 1 + (max(layers) - min(layers)) // 16}


def plain(text: object) -> str:
    """The text as plotly must show it: plotly reads `<a href=...>` and `<b>` in labels."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def zero_line(figure: go.Figure, *, vertical: bool = True) -> None:
    """Draw the line at which the refusal score changes sign; the model refuses on the positive side."""
    line = {"color": MUTED, "dash": "dot", "width": 1.5}
    figure.add_vline(x=0.0, line=line) if vertical else figure.add_hline(y=0.0, line=line)


def error_bars(estimates: Sequence[Estimate]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [e.high - e.value for e in estimates],
        "arrayminus": [e.value - e.low for e in estimates],
        "color": _BAR,
        "thickness": 1.5,
        "width": 5,
    }


def set_name(name: str) -> str:
    return SET_LABELS.get(name, name)


def set_points(rows: Sequence[tuple[str, Estimate]], *, x: str, as_share: bool) -> go.Figure:
    """One bar with interval per named set, the audited set on top."""
    rows = list(rows)[::-1]
    estimates = [estimate for _, estimate in rows]
    figure = go.Figure(
        go.Bar(
            x=[e.value for e in estimates],
            y=[f"{set_name(name)} (n={e.n})" for name, e in rows],
            customdata=[interval(e, percent if as_share else "{:.3f}".format) for e in estimates],
            orientation="h",
            marker={"color": [SET_COLOURS.get(name, MUTED) for name, _ in rows], "opacity": 0.7},
            error_x=error_bars(estimates),
            width=0.55,
            hovertemplate="%{y}: %{customdata}<extra></extra>",
        )
    )
    styled(figure, height=76 + 36 * len(rows), x=x)
    if as_share:
        figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    return unlegended(figure)


def histogram(counts: dict[int, int], *, x: str, y: str) -> go.Figure:
    """Number of cases of each whole number, with the count above its bar."""
    figure = go.Figure(
        go.Bar(
            x=list(counts),
            y=list(counts.values()),
            text=[str(n) for n in counts.values()],
            textposition="outside",
            cliponaxis=False,
            marker={"color": SET_COLOURS["minimal"]},
            hovertemplate="%{x}: %{y}<extra></extra>",
        )
    )
    figure.update_layout(bargap=0.25)
    styled(figure, height=300, x=x, y=y)
    if max(counts) - min(counts) <= 20:
        figure.update_xaxes(dtick=1)
    return unlegended(figure)


def strip(rows: Sequence[tuple[str, float, str]], *, x: str, colours: dict[str, str]) -> go.Figure:
    """Every case as a point in its named row, with the row's box; rows are (name, value, id)."""
    names = list(dict.fromkeys(name for name, _, _ in rows))
    figure = go.Figure()
    for name in names:
        chosen = [row for row in rows if row[0] == name]
        colour = colours.get(name, MUTED)
        figure.add_trace(
            go.Box(
                x=[value for _, value, _ in chosen],
                y=[name] * len(chosen),
                text=[plain(case) for _, _, case in chosen],
                orientation="h",
                boxpoints="all",
                jitter=0.6,
                pointpos=0,
                fillcolor="rgba(0,0,0,0)",
                line={"color": MUTED, "width": 1},
                marker={"color": colour, "size": 6, "opacity": 0.75},
                hovertemplate="%{text}: %{x:.3f}<extra></extra>",
                showlegend=False,
            )
        )
    figure.update_yaxes(autorange="reversed")
    return unlegended(styled(figure, height=76 + 52 * len(names), x=x))
