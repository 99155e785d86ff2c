"""Figure of the candidates' cosines with the direction."""

from collections.abc import Sequence

import plotly.graph_objects as go

from sae_audit.findings import CandidateSet, LayerCoverage
from sae_audit.pages.charts import MUTED, OWN, styled
from sae_audit.report.marks import layer_ticks, plain, unlegended


def cosines(found: CandidateSet, layers: Sequence[LayerCoverage]) -> go.Figure:
    """Cosine of every candidate with the direction by layer, and of the rows nearest random ones."""
    figure = go.Figure(
        go.Scatter(
            x=[c.feature.layer for c in found.candidates],
            y=[c.cosine for c in found.candidates],
            text=[plain(c.feature) for c in found.candidates],
            mode="markers",
            marker={"color": OWN, "size": 8, "opacity": 0.6},
            hovertemplate="%{text}: cosine %{y:.3f}<extra></extra>",
            showlegend=False,
        )
    )
    random = [one.nearest_rows_random for one in layers]
    figure.add_trace(
        go.Scatter(
            x=[one.layer for one in layers],
            y=[one.mean for one in random],
            error_y={
                "array": [one.highest - one.mean for one in random],
                "arrayminus": [one.mean - one.lowest for one in random],
            },
            mode="lines+markers",
            line={"color": MUTED, "dash": "dot", "width": 1.5},
            marker={"color": MUTED, "size": 4},
            hovertemplate="nearest to random directions, layer %{x}: %{y:.3f}<extra></extra>",
            showlegend=False,
        )
    )
    styled(figure, height=320, x="layer", y="cosine with the direction")
    figure.update_xaxes(**layer_ticks([c.feature.layer for c in found.candidates]))
    return unlegended(figure.update_yaxes(rangemode="tozero"))
