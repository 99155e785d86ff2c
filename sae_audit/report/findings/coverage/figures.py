"""Figures of SAE coverage, by condition and by layer."""

from collections.abc import Sequence

import plotly.graph_objects as go

from sae_audit.findings import LayerCoverage, SaeCoverage
from sae_audit.pages.charts import MUTED, OWN, styled
from sae_audit.report.marks import error_bars, layer_ticks, set_points, zero_line


def conditions(found: SaeCoverage) -> go.Figure:
    """Mean score of refused prompts under each condition."""
    rows = [
        ("clean", found.clean),
        ("all candidates ablated", found.candidates),
        ("what the SAEs show replaced", found.saes),
        ("what their errors hold replaced", found.error),
        ("the whole direction replaced", found.direction),
    ]
    figure = set_points(rows, x="mean refusal score (nats)", as_share=False)
    zero_line(figure)
    return figure


def by_layer(found: Sequence[LayerCoverage]) -> go.Figure:
    """Share of the gap along the direction in the reconstruction; its slope, and that of random ones."""
    stated = [(one.layer, one.in_reconstruction) for one in found if one.in_reconstruction]
    estimates = [share for _, share in stated]
    layers = [one.layer for one in found]
    random = [(one.layer, one.random) for one in found if one.random]
    figure = go.Figure(
        go.Scatter(
            x=[layer for layer, _ in stated],
            y=[share.value for share in estimates],
            error_y=error_bars(estimates),
            mode="markers",
            marker={"color": OWN, "size": 9},
            name="share of the gap along the refusal direction",
            hovertemplate="layer %{x}: %{y:.1%}<extra></extra>",
        )
    )
    slopes = [(one.layer, one.slope) for one in found if one.slope is not None]
    figure.add_trace(
        go.Scatter(
            x=[layer for layer, _ in slopes],
            y=[slope for _, slope in slopes],
            mode="markers",
            marker={"color": OWN, "size": 8, "symbol": "diamond-open"},
            name="its slope within a label",
            hovertemplate="layer %{x}: %{y:.1%}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[layer for layer, _ in random],
            y=[one.mean for _, one in random],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one.highest - one.mean for _, one in random],
                "arrayminus": [one.mean - one.lowest for _, one in random],
                "color": MUTED,
                "thickness": 1.5,
            },
            mode="markers",
            marker={"color": MUTED, "size": 7, "symbol": "diamond"},
            name="slopes of random directions, with their range",
            hovertemplate="layer %{x}: %{y:.1%}<extra></extra>",
        )
    )
    styled(figure, height=340, x="layer", y="share in the reconstruction")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_xaxes(**layer_ticks(layers))
    return figure
