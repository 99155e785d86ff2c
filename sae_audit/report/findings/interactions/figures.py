"""Pair interactions: the pooled graph, and how well each solver predicts."""

from collections.abc import Sequence

from sae_audit.findings import InteractionGraph, PairKind
from sae_audit.pages.charts import (
    AMBER,
    HARMFUL,
    HARMLESS,
    INK,
    MUTED,
    OWN,
    PINK,
    SKY,
    Axis,
    Chart,
    Scale,
)
from sae_audit.pages.wording import interval
from sae_audit.report.findings.interactions.counts import SOLVER_NAMES
from sae_audit.report.marks import strip

_COLOURS = {
    "linear": MUTED,
    "lasso": AMBER,
    "fm_als": SKY,
    "fm_bayes": PINK,
    "walsh": OWN,
}


_STEPS = (1.0, 0.75, 0.5, 0.25)


def pair_weights(graph: InteractionGraph) -> Chart:
    """Weight of every pair; blue redundant, orange shared path, a dot on named pairs."""
    names = [str(feature) for feature in graph.players]
    place = {feature: i for i, feature in enumerate(graph.players)}
    largest = max(abs(pair.weight) for pair in graph.pairs) or 1.0
    chart = Chart(
        x=Axis(names=names[:-1]),
        y=Axis(names=names[1:]),
        row=21,
        scale=Scale(
            ends=(f"{-largest:z.2f}", f"{largest:+z.2f} nats"),
            colours=(
                *((HARMLESS, step) for step in _STEPS),
                (HARMLESS, 0.0),
                *((HARMFUL, step) for step in reversed(_STEPS)),
            ),
        ),
    )
    named: list[tuple[str, str]] = []
    for pair in graph.pairs:
        column, row = sorted((place[pair.a], place[pair.b]))
        chart.cell(
            names[column],
            names[row],
            colour=HARMFUL if pair.weight > 0 else HARMLESS,
            strength=abs(pair.weight) / largest,
            said=f"{names[row]} with {names[column]}: {pair.weight:z.2f} nats "
            f"[{pair.low:z.2f}, {pair.high:z.2f}], {_kind(pair.kind)}",
        )
        if pair.kind != PairKind.UNCLEAR:
            named.append((names[column], names[row]))
    chart.points(
        [column for column, _ in named],
        [row for _, row in named],
        colour=INK,
        size=5,
        opacity=1,
    )
    return chart


def r_squared(graphs: Sequence[InteractionGraph]) -> Chart:
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


def _kind(kind: PairKind) -> str:
    return kind.value.replace("_", " ")
