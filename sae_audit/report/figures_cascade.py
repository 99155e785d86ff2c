"""Cascades: scores behind each wave, the waves' layers, compensation."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from sae_audit.findings import Cascade
from sae_audit.pages.charts import HARMFUL, OWN, styled
from sae_audit.report.marks import plain, strip, unlegended, zero_line


def scores(cascades: Sequence[Cascade]) -> go.Figure:
    """Score of each prompt, clean and with one wave more ablated at every step."""
    figure = go.Figure()
    for found in cascades:
        figure.add_trace(
            go.Scatter(
                x=list(range(found.depth + 1)),
                y=[found.score_clean, *(wave.score_after for wave in found.waves)],
                mode="lines+markers",
                line={"color": OWN, "width": 1},
                marker={"size": 5, "color": [HARMFUL] + [OWN] * found.depth},
                opacity=0.55,
                name=plain(found.prompt_id),
                hovertemplate="%{y:.2f} nats",
                showlegend=False,
            )
        )
    zero_line(figure, vertical=False)
    styled(figure, height=360, x="waves ablated (0: clean)", y="refusal score (nats)")
    return unlegended(figure.update_xaxes(dtick=1))


def layers(counts: Mapping[int, Mapping[int, int]], audited: Sequence[int]) -> go.Figure:
    """How many features of each layer each wave ablates, over all prompts."""
    numbers = sorted(counts)
    grid = [[counts[number].get(layer, 0) for layer in audited] for number in numbers]
    figure = go.Figure(
        go.Heatmap(
            x=[str(layer) for layer in audited],
            y=[f"wave {number}" for number in numbers],
            z=grid,
            texttemplate="%{z}",
            colorscale=[[0, "#f2f2f2"], [1, OWN]],
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{y}, layer %{x}: %{z} features over all prompts<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(type="category", showgrid=False)
    return unlegended(styled(figure, height=90 + 44 * len(numbers), x="layer"))


def compensation(cascades: Sequence[Cascade]) -> go.Figure:
    """The compensation ratio of every prompt that has one."""
    rows = [
        ("prompts", found.compensation_ratio, found.prompt_id)
        for found in cascades
        if found.compensation_ratio is not None
    ]
    figure = strip(rows, x="compensation ratio (0: nothing covers)", colours={"prompts": OWN})
    zero_line(figure)
    return figure.update_yaxes(showticklabels=False).update_layout(height=150)
