"""Figures of minimal sets: scores, ablation scales, shared features."""

from collections.abc import Sequence

import plotly.graph_objects as go

from sae_audit.findings import FlipScale, MinimalSet
from sae_audit.pages.charts import HARMFUL, MUTED, OWN, styled
from sae_audit.report.findings.minimal.counts import FeatureRow
from sae_audit.report.marks import layer_ticks, plain, unlegended, zero_line

_LABELLED_ROWS = 60
_SCALED = {"minimal_set": ("own minimal set", OWN), "candidates": ("all candidates", HARMFUL)}
_PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8a94a3", "#B8A800")


def scores(found: Sequence[MinimalSet]) -> go.Figure:
    """Each prompt's score: clean, with all candidates ablated, with its minimal set ablated."""
    rows = sorted(found, key=lambda one: (one.flipped, one.clean_score, one.prompt_id))
    names = [plain(one.prompt_id) for one in rows]
    figure = go.Figure(
        go.Scatter(
            x=[x for one in rows for x in (one.clean_score, one.candidates_score, None)],
            y=[y for name in names for y in (name, name, None)],
            mode="lines",
            line={"color": MUTED, "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    flipped = [one for one in rows if one.flipped]
    series = (
        ("clean", rows, lambda one: one.clean_score, HARMFUL, "circle"),
        ("all candidates ablated", rows, lambda one: one.candidates_score, MUTED, "square"),
        ("minimal set ablated", flipped, lambda one: one.ablated_score, OWN, "diamond"),
    )
    for name, shown, score, colour, symbol in series:
        figure.add_trace(
            go.Scatter(
                x=[score(one) for one in shown],
                y=[plain(one.prompt_id) for one in shown],
                name=name,
                mode="markers",
                marker={"color": colour, "size": 8, "symbol": symbol},
                hovertemplate="%{y}: %{x:.2f} nats<extra>" + name + "</extra>",
            )
        )
    zero_line(figure)
    figure.update_yaxes(
        showticklabels=len(rows) <= _LABELLED_ROWS, tickfont={"size": 11}, type="category"
    )
    each = 16 if len(rows) <= _LABELLED_ROWS else 7
    return styled(figure, height=140 + each * len(rows), x="refusal score (nats; < 0 complies)")


def common_features(rows: Sequence[FeatureRow], n_flipped: int) -> go.Figure:
    """The features in most minimal sets, coloured by layer."""
    layers = sorted({row.feature.layer for row in rows})
    coloured = len(layers) <= len(_PALETTE)
    figure = go.Figure()
    for i, layer in enumerate(layers):
        chosen = [row for row in rows if row.feature.layer == layer]
        figure.add_trace(
            go.Bar(
                x=[row.n_prompts for row in chosen],
                y=[str(row.feature) for row in chosen],
                name=f"layer {layer}",
                orientation="h",
                marker={"color": _PALETTE[i] if coloured else OWN},
                showlegend=coloured,
                hovertemplate="%{y}: %{x} of " + str(n_flipped) + " prompts<extra></extra>",
            )
        )
    order = [str(row.feature) for row in rows]
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1], tickfont={"size": 11})
    styled(figure, height=140 + 19 * len(rows), x=f"minimal sets that hold it, of {n_flipped}")
    return figure.update_layout(barmode="stack", legend={"traceorder": "normal"})


def by_layer(counts: dict[int, int]) -> go.Figure:
    """Layers of the features in all minimal sets."""
    figure = go.Figure(
        go.Bar(
            x=list(counts),
            y=list(counts.values()),
            text=[str(n) for n in counts.values()],
            textposition="outside",
            cliponaxis=False,
            marker={"color": OWN},
            hovertemplate="layer %{x}: %{y}<extra></extra>",
        )
    )
    styled(figure, height=300, x="layer", y="members of minimal sets")
    return unlegended(figure.update_xaxes(**layer_ticks(list(counts))))


def scales(found: Sequence[FlipScale]) -> go.Figure:
    """Each prompt's score at every scored scale, and the smallest scale that flips it."""
    figure = go.Figure()
    for one in found:
        figure.add_trace(
            go.Scatter(
                x=[point.scale for point in one.points],
                y=[point.score for point in one.points],
                mode="lines",
                line={"color": MUTED, "width": 1},
                opacity=0.6,
                name=plain(one.prompt_id),
                hovertemplate="scale %{x:.3f}: %{y:.2f} nats",
                showlegend=False,
            )
        )
    for ablated, (name, colour) in _SCALED.items():
        chosen = [one for one in found if one.ablated == ablated and one.scale is not None]
        if chosen:
            figure.add_trace(
                go.Scatter(
                    x=[one.scale for one in chosen],
                    y=[one.score for one in chosen],
                    text=[plain(one.prompt_id) for one in chosen],
                    mode="markers",
                    marker={"color": colour, "size": 7},
                    name=f"smallest scale that flips, {name}",
                    hovertemplate="%{text}: scale %{x:.3f}, %{y:.2f} nats<extra></extra>",
                )
            )
    zero_line(figure, vertical=False)
    return styled(figure, height=380, x="scale (1: the ablation)", y="refusal score (nats)")
