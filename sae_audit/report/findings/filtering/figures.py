"""Flips against set size."""

from collections.abc import Sequence

from sae_audit.findings import CurvePoint, Estimate
from sae_audit.pages.charts import MUTED, OWN, SET_COLOURS, Axis, Chart, span


def curve(points: Sequence[CurvePoint]) -> Chart:
    """Share of validation prompts flipped by sets of each origin, by size."""
    series: tuple[tuple[str, str, list[Estimate | None]], ...] = (
        ("greedy filtering", OWN, [one.filtered for one in points]),
        ("linear probe", SET_COLOURS["linear_probe"], [one.linear_probe for one in points]),
        ("random, matched", MUTED, [one.random for one in points]),
    )
    chart = Chart(
        x=Axis("features ablated", log=True, ticks=[one.size for one in points]),
        y=Axis("validation prompts flipped", shares=True),
        height=230,
    )
    for name, colour, estimates in series:
        shown = [(p.size, e) for p, e in zip(points, estimates, strict=True) if e is not None]
        if shown:
            chart.points(
                [size for size, _ in shown],
                [one.value for _, one in shown],
                colour=colour,
                name=name,
                said=[f"{size} features: {one.value:.0%}, {name}" for size, one in shown],
                upwards=[span(one) for _, one in shown],
                line=1.5,
            )
    return chart
