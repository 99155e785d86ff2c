"""How refusal falls with the dose of an ablation."""

from collections.abc import Sequence

import plotly.graph_objects as go

from sae_audit.findings import FlipDose
from sae_audit.pages.charts import HARMFUL, MUTED, OWN, styled
from sae_audit.report.marks import plain, zero_line

_SETS = {"minimal_set": ("own minimal set", OWN), "candidates": ("all candidates", HARMFUL)}


def doses(found: Sequence[FlipDose]) -> go.Figure:
    """Each prompt's score at every scored dose, and the smallest dose that flips it."""
    figure = go.Figure()
    for one in found:
        figure.add_trace(
            go.Scatter(
                x=[point.dose for point in one.points],
                y=[point.score for point in one.points],
                mode="lines",
                line={"color": MUTED, "width": 1},
                opacity=0.6,
                name=plain(one.prompt_id),
                hovertemplate="dose %{x:.3f}: %{y:.2f} nats",
                showlegend=False,
            )
        )
    for ablated, (name, colour) in _SETS.items():
        chosen = [one for one in found if one.ablated == ablated and one.dose is not None]
        if chosen:
            figure.add_trace(
                go.Scatter(
                    x=[one.dose for one in chosen],
                    y=[one.score for one in chosen],
                    text=[plain(one.prompt_id) for one in chosen],
                    mode="markers",
                    marker={"color": colour, "size": 7},
                    name=f"smallest dose that flips, {name}",
                    hovertemplate="%{text}: dose %{x:.3f}, %{y:.2f} nats<extra></extra>",
                )
            )
    zero_line(figure, vertical=False)
    return styled(figure, height=380, x="dose (1: the ablation)", y="refusal score (nats)")
