"""Pair interactions: the pooled graph, and how well each solver predicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from sae_audit.findings import InteractionGraph, PairKind
from sae_audit.pages.charts import HARMFUL, HARMLESS, MUTED, OWN, styled
from sae_audit.pages.wording import interval
from sae_audit.report.findings.interactions.counts import SOLVER_NAMES
from sae_audit.report.marks import strip, unlegended

_COLOURS = {
    "linear": MUTED,
    "lasso": "#E69F00",
    "fm_als": "#56B4E9",
    "fm_bayes": "#009E73",
    "walsh": OWN,
}


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Pairs below the diagonal, row by column; indices are the graph's players."""

    weights: list[list[float | None]]
    said: list[list[str]]
    """Interval and kind."""
    named: list[tuple[int, int]]
    """Row and column of every named pair."""


def pair_weights(graph: InteractionGraph) -> go.Figure:
    """Weight of every pair; blue redundant, orange shared path, a dot on named pairs."""
    names = [str(feature) for feature in graph.players]
    grid = _grid(graph)
    largest = max(abs(pair.weight) for pair in graph.pairs) or 1.0
    figure = go.Figure(
        go.Heatmap(
            x=names[:-1],
            y=names[1:],
            z=[row[:-1] for row in grid.weights[1:]],
            customdata=[row[:-1] for row in grid.said[1:]],
            zmin=-largest,
            zmax=largest,
            colorscale=[[0, HARMLESS], [0.5, "#f2f2f2"], [1, HARMFUL]],
            colorbar={"title": {"text": "nats"}, "thickness": 10},
            hovertemplate="%{y} with %{x}: %{z:.2f} nats %{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[names[column] for _, column in grid.named],
            y=[names[row] for row, _ in grid.named],
            mode="markers",
            marker={"color": "#000000", "size": 5},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(type="category", tickangle=-60, showgrid=False)
    return unlegended(styled(figure, height=130 + 23 * len(names)))


def r_squared(graphs: Sequence[InteractionGraph]) -> go.Figure:
    """Held-out R2 of every solver, one point per prompt; hovering shows the interval."""
    rows = [
        (
            SOLVER_NAMES[solver],
            fit.r2_held_out.value,
            f"{graph.scope}, {interval(fit.r2_held_out)}",
        )
        for solver in SOLVER_NAMES
        for graph in graphs
        for fit in graph.fits
        if fit.solver == solver
    ]
    return strip(
        rows,
        x="R² on held-out ablation masks",
        colours={SOLVER_NAMES[solver]: colour for solver, colour in _COLOURS.items()},
    )


def _grid(graph: InteractionGraph) -> _Grid:
    place = {feature: i for i, feature in enumerate(graph.players)}
    weights: list[list[float | None]] = [[None] * len(graph.players) for _ in graph.players]
    said = [[""] * len(graph.players) for _ in graph.players]
    named: list[tuple[int, int]] = []
    for pair in graph.pairs:
        column, row = sorted((place[pair.a], place[pair.b]))
        weights[row][column] = pair.weight
        said[row][column] = f"[{pair.low:.2f}, {pair.high:.2f}], {_kind(pair.kind)}"
        if pair.kind != PairKind.UNCLEAR:
            named.append((row, column))
    return _Grid(weights=weights, said=said, named=named)


def _kind(kind: PairKind) -> str:
    return kind.value.replace("_", " ")
