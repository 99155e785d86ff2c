"""The figures of the first stages: behaviour, direction, candidates, minimal sets."""

from collections import Counter
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sae_audit.findings import CandidateSet, Direction, Estimate, MinimalSet, PromptScore
from sae_audit.pages.charts import (
    HARMFUL,
    HARMLESS,
    MUTED,
    OWN,
    SET_COLOURS,
    SET_LABELS,
    styled,
)

_COLOURS = {"harmful": HARMFUL, "harmless": HARMLESS}


def behaviour(scores: Sequence[PromptScore]) -> go.Figure:
    """Clean refusal scores of the audit prompts, by category."""
    figure = go.Figure()
    for label, colour in _COLOURS.items():
        chosen = [s for s in scores if s.split == "audit" and s.label == label]
        figure.add_trace(
            go.Box(
                x=[s.score for s in chosen],
                y=[s.category or label for s in chosen],
                text=[s.prompt_id for s in chosen],
                name=label,
                orientation="h",
                boxpoints="all",
                jitter=0.5,
                pointpos=0,
                fillcolor="rgba(0,0,0,0)",
                line={"color": "rgba(0,0,0,0)"},
                marker={"color": colour, "size": 6, "opacity": 0.75},
                hovertemplate="%{text}: %{x:.2f}<extra></extra>",
            )
        )
    figure.add_vline(x=0.0, line={"color": MUTED, "dash": "dot", "width": 1})
    n_categories = len({s.category for s in scores if s.split == "audit"})
    figure.update_layout(boxmode="group")
    return styled(
        figure, height=170 + 34 * n_categories, x="refusal score, clean run (nats; > 0 refuses)"
    )


def direction(found: Direction) -> go.Figure:
    """Bypass, induce and KL of every candidate direction, layer by position."""
    positions = sorted({e.position for e in found.evaluations})
    layers = sorted({e.layer for e in found.evaluations})
    by_place = {(e.layer, e.position): e for e in found.evaluations}
    figure = make_subplots(
        cols=3,
        subplot_titles=("bypass (lower is better)", "induce (must be > 0)", "KL (log10)"),
        horizontal_spacing=0.09,
    )
    measures = (
        ("bypass", "Viridis_r", lambda e: e.bypass, "%{z:.2f} nats"),
        ("induce", "Viridis", lambda e: e.induce, "%{z:.2f} nats"),
        ("kl", "Magma", lambda e: _log10(e.kl), "10^%{z:.1f} nats"),
    )
    for column, (_, scale, measure, hover) in enumerate(measures, start=1):
        figure.add_trace(
            go.Heatmap(
                x=[str(p) for p in positions],
                y=layers,
                z=[[measure(by_place[layer, p]) for p in positions] for layer in layers],
                colorscale=scale,
                colorbar={"len": 0.9, "thickness": 9, "x": 0.285 + 0.362 * (column - 1)},
                hovertemplate="layer %{y}, position %{x}: " + hover + "<extra></extra>",
            ),
            row=1,
            col=column,
        )
        figure.add_trace(
            go.Scatter(
                x=[str(found.selected.position)],
                y=[found.selected.layer],
                mode="markers",
                marker={"symbol": "star", "size": 13, "color": "#ffffff"}
                | {"line": {"color": "#000000", "width": 1}},
                hovertemplate="chosen<extra></extra>",
                showlegend=False,
            ),
            row=1,
            col=column,
        )
    styled(figure, height=150 + 26 * len(layers), x="template position")
    figure.update_xaxes(type="category")
    figure.update_yaxes(dtick=max(1, len(layers) // 12))
    figure.update_yaxes(title_text="layer", row=1, col=1)
    return figure


def _log10(value: float) -> float:
    from math import log10

    return log10(max(value, 1e-9))


def candidates(found: CandidateSet) -> go.Figure:
    """Cosine of every candidate with the direction, by layer, and the chance level."""
    figure = go.Figure(
        go.Scatter(
            x=[c.feature.layer for c in found.candidates],
            y=[c.cosine for c in found.candidates],
            text=[str(c.feature) for c in found.candidates],
            mode="markers",
            marker={"color": OWN, "size": 7, "opacity": 0.6},
            hovertemplate="%{text}: %{y:.3f}<extra></extra>",
            showlegend=False,
        )
    )
    figure.add_hline(
        y=found.chance_cosine,
        line={"color": MUTED, "dash": "dot"},
        annotation_text="random rows, same choice",
        annotation_position="bottom right",
    )
    return styled(figure, height=300, x="layer", y="cosine with the direction")


def minimal_sets(found: Sequence[MinimalSet]) -> go.Figure:
    """Each prompt's score: clean, and with its minimal set ablated."""
    rows = sorted(found, key=lambda one: one.score_ablated)
    names = [one.prompt_id for one in rows]
    figure = go.Figure()
    for one in rows:
        figure.add_trace(
            go.Scatter(
                x=[one.score_clean, one.score_ablated],
                y=[one.prompt_id] * 2,
                mode="lines",
                line={"color": MUTED, "width": 1},
                showlegend=False,
                hoverinfo="skip",
            )
        )
    series = (
        ("clean", [one.score_clean for one in rows], HARMFUL, "circle"),
        ("all candidates ablated", [one.score_candidates for one in rows], MUTED, "line-ns-open"),
        ("minimal set ablated", [one.score_ablated for one in rows], OWN, "diamond"),
    )
    for name, values, colour, symbol in series:
        figure.add_trace(
            go.Scatter(
                x=values,
                y=names,
                name=name,
                mode="markers",
                marker={"color": colour, "size": 8, "symbol": symbol},
                hovertemplate="%{y}: %{x:.2f}<extra>" + name + "</extra>",
            )
        )
    figure.add_vline(x=0.0, line={"color": MUTED, "dash": "dot", "width": 1})
    figure.update_yaxes(showticklabels=len(rows) <= 60)
    return styled(figure, height=130 + 15 * len(rows), x="refusal score (nats; < 0 complies)")


def frequency(found: Sequence[MinimalSet]) -> go.Figure:
    """Sizes of the minimal sets, and the features that most of them share."""
    flipped = [one for one in found if one.flipped]
    sizes = Counter(len(one.features) for one in flipped)
    common = Counter(feature for one in flipped for feature in one.features).most_common(20)[::-1]
    figure = make_subplots(
        cols=2,
        column_widths=[0.38, 0.62],
        subplot_titles=("size of the set", "most frequent features"),
        horizontal_spacing=0.16,
    )
    figure.add_trace(
        go.Bar(x=list(sizes), y=list(sizes.values()), marker_color=OWN, showlegend=False),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Bar(
            x=[n for _, n in common],
            y=[str(feature) for feature, _ in common],
            orientation="h",
            marker_color=OWN,
            showlegend=False,
        ),
        row=1,
        col=2,
    )
    styled(figure, height=140 + 18 * max(8, len(common)))
    figure.update_xaxes(title_text="features", row=1, col=1)
    figure.update_xaxes(title_text="prompts whose set holds it", row=1, col=2)
    figure.update_yaxes(title_text="prompts", row=1, col=1)
    return figure


def set_bars(rows: Sequence[tuple[str, Estimate]], x: str) -> go.Figure:
    """One bar with its interval per named set."""
    rows = list(rows)[::-1]
    figure = go.Figure(
        go.Bar(
            x=[estimate.value for _, estimate in rows],
            y=[SET_LABELS.get(name, name) for name, _ in rows],
            orientation="h",
            marker_color=[SET_COLOURS.get(name, MUTED) for name, _ in rows],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [e.high - e.value for _, e in rows],
                "arrayminus": [e.value - e.low for _, e in rows],
                "color": MUTED,
            },
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    return styled(figure, height=110 + 34 * len(rows), x=x)
