"""The figures of the later stages: interactions and cascades."""

from collections import Counter
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sae_audit.findings import Cascade, InteractionGraph
from sae_audit.pages.charts import HARMFUL, HARMLESS, MUTED, OWN, styled


def pair_weights(graph: InteractionGraph) -> go.Figure:
    """Every pair's weight; blue for redundant, orange for a shared path."""
    names = [str(feature) for feature in graph.players]
    place = {feature: i for i, feature in enumerate(graph.players)}
    weights: list[list[float | None]] = [[None] * len(names) for _ in names]
    kinds = [[""] * len(names) for _ in names]
    for pair in graph.pairs:
        for a, b in ((place[pair.a], place[pair.b]), (place[pair.b], place[pair.a])):
            weights[a][b] = pair.weight
            kinds[a][b] = f"{pair.kind.value} [{pair.low:.2f}, {pair.high:.2f}]"
    largest = max(abs(pair.weight) for pair in graph.pairs)
    figure = go.Figure(
        go.Heatmap(
            x=names,
            y=names,
            z=weights,
            customdata=kinds,
            zmin=-largest,
            zmax=largest,
            colorscale=[[0, HARMLESS], [0.5, "#f4f4f4"], [1, HARMFUL]],
            colorbar={"title": "nats", "thickness": 10},
            hovertemplate="%{y} with %{x}: %{z:.2f} nats, %{customdata}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickangle=-60)
    return styled(figure, height=200 + 22 * len(names))


def r_squared(graphs: Sequence[InteractionGraph]) -> go.Figure:
    """Held-out R2 of every solver on every prompt."""
    figure = go.Figure()
    solvers = (("linear", MUTED), ("lasso", "#E69F00"), ("fm_als", HARMLESS), ("fm_bayes", OWN))
    for solver, colour in solvers:
        values = [
            (graph.scope, fit.r2_held_out)
            for graph in graphs
            for fit in graph.fits
            if fit.solver == solver
        ]
        figure.add_trace(
            go.Box(
                x=[value for _, value in values],
                text=[scope for scope, _ in values],
                name=solver,
                boxpoints="all",
                jitter=0.5,
                marker={"color": colour, "size": 5, "opacity": 0.6},
                line={"width": 1},
                hovertemplate="%{text}: %{x:.3f}<extra></extra>",
                showlegend=False,
            )
        )
    return styled(figure, height=280, x="R2 on held-out ablation masks")


def waves(cascades: Sequence[Cascade]) -> go.Figure:
    """Score after each wave, prompt by prompt; depths; the layers of each wave."""
    figure = make_subplots(
        cols=3,
        column_widths=[0.44, 0.2, 0.36],
        subplot_titles=("score after each wave", "depth", "layers of each wave"),
        horizontal_spacing=0.1,
    )
    for found in cascades:
        figure.add_trace(
            go.Scatter(
                x=list(range(found.depth + 1)),
                y=[found.score_clean, *(wave.score_after for wave in found.waves)],
                mode="lines+markers",
                line={"color": OWN, "width": 1},
                marker={"size": 4},
                opacity=0.5,
                hovertemplate=found.prompt_id.replace("<", "&lt;") + ": %{y:.2f}<extra></extra>",
                showlegend=False,
            ),
            row=1,
            col=1,
        )
    depths = Counter(found.depth for found in cascades)
    figure.add_trace(
        go.Bar(x=list(depths), y=list(depths.values()), marker_color=OWN, showlegend=False),
        row=1,
        col=2,
    )
    by_wave: dict[int, Counter[int]] = {}
    for found in cascades:
        for number, wave in enumerate(found.waves, start=1):
            by_wave.setdefault(number, Counter()).update(f.layer for f in wave.features)
    for number, counts in sorted(by_wave.items()):
        figure.add_trace(
            go.Bar(x=list(counts), y=list(counts.values()), name=f"wave {number}"), row=1, col=3
        )
    styled(figure, height=360)
    figure.update_layout(barmode="stack", legend={"y": -0.3, "x": 0.65, "yanchor": "top"})
    figure.add_hline(y=0.0, line={"color": MUTED, "dash": "dot"}, row=1, col=1)  # pyright: ignore[reportArgumentType]
    figure.update_xaxes(title_text="waves ablated", dtick=1, row=1, col=1)
    figure.update_xaxes(title_text="waves", dtick=1, row=1, col=2)
    figure.update_xaxes(title_text="layer", dtick=1, row=1, col=3)
    figure.update_yaxes(title_text="refusal score (nats)", row=1, col=1)
    return figure
