"""Colours, type and JSON shared by all figures."""

import json
from typing import Any

import plotly.graph_objects as go

from sae_audit.untrusted import printable

# Okabe and Ito's palette, distinguishable with any colour vision, on white and on black.
HARMFUL = "#D55E00"
HARMLESS = "#0072B2"
OWN = "#009E73"
MUTED = "#8a94a3"
SET_COLOURS = {
    "minimal": OWN,
    "pooled": OWN,
    "random_matched": MUTED,
    "random_norm": "#5d6673",
    "linear_probe": "#E69F00",
    "linear_probe_end": "#b87f00",
    "top_cosine": "#CC79A7",
    "mean_difference": "#56B4E9",
    "attribution": "#D55E00",
    "direction": "#0072B2",
}
SET_LABELS = {
    "minimal": "own minimal set",
    "pooled": "pooled set",
    "random_matched": "random, firing as often",
    "random_norm": "random, equal norm",
    "linear_probe": "linear probe, peaks",
    "linear_probe_end": "linear probe, last token",
    "top_cosine": "top cosine",
    "mean_difference": "difference of means",
    "attribution": "attribution",
    "direction": "direction, cut down",
}
_GRID = "rgba(128,138,150,0.25)"


def styled(figure: go.Figure, *, height: int, x: str = "", y: str = "") -> go.Figure:
    """The figure in the page's look, transparent to fit light and dark."""
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 34, "b": 52},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": MUTED},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
        barmode="group",
    )
    figure.update_xaxes(gridcolor=_GRID, zerolinecolor=_GRID, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor=_GRID, automargin=True)
    if x:
        figure.update_xaxes(title_text=x)
    if y:
        figure.update_yaxes(title_text=y)
    return figure


def as_json(figure: go.Figure) -> str:
    """The figure as plotly.js data, safe inside a script element."""
    payload: dict[str, Any] = json.loads(figure.to_json() or "{}")
    payload["layout"].pop("template", None)
    return json.dumps(_printable(payload), sort_keys=True).replace("<", "\\u003c")


def _printable(payload: Any) -> Any:
    """The data without text characters that reorder or hide the text around them."""
    if isinstance(payload, str):
        return printable(payload)
    if isinstance(payload, list):
        return [_printable(one) for one in payload]
    if isinstance(payload, dict):
        return {key: _printable(one) for key, one in payload.items()}
    return payload
