"""Measures of every direction that was tried."""

from collections.abc import Sequence
from math import log10

from sae_audit.findings import (
    Direction,
    DirectionEvaluation,
    DirectionMeasure,
    NoDirection,
    StoppedDirection,
)
from sae_audit.pages.charts import HARMFUL, HARMLESS, INK, MUTED, OWN, Axis, Chart, Scale
from sae_audit.report.findings.direction.rows import (
    NOT_ASKED,
    STOPPED,
    StoppedRow,
    stopped_rows,
)

_SMALLEST_KL = 1e-6
"""Lower end of KL's logarithmic colour scale, nats."""
_SCALE = tuple((HARMLESS, step / 8) for step in range(9))


def measured(found: Direction | NoDirection, measure: DirectionMeasure) -> Chart:
    """One measure over layer and template position: a star on the chosen place, crosses on those that
    break a limit, and uncoloured rings on candidates not asked on all prompts."""
    stopped = stopped_rows(found)
    positions = sorted({e.position for e in (*found.evaluations, *stopped)})
    layers = sorted({e.layer for e in (*found.evaluations, *stopped)}, reverse=True)
    values = {
        (e.layer, e.position): value
        for e in found.evaluations
        if (value := e.measure(measure.name)) is not None
    }
    scale = _log if measure.logarithmic else float
    ends = (min(values.values()), max(values.values())) if values else (0.0, 0.0)
    low, high = scale(ends[0]), scale(ends[1])
    chart = Chart(
        x=Axis("template position", names=[str(p) for p in positions]),
        y=Axis("layer", names=[str(layer) for layer in layers]),
        row=22,
        scale=Scale(ends=(f"{ends[0]:.3g}", f"{ends[1]:.3g} {measure.unit}"), colours=_SCALE)
        if values
        else None,
    )
    for (layer, position), value in values.items():
        chart.cell(
            str(position),
            str(layer),
            colour=HARMLESS,
            strength=(scale(value) - low) / (high - low) if high > low else 1.0,
            said=f"layer {layer}, position {position}: {value:z.4f} {measure.unit}",
        )
    _mark(chart, [one for one in found.evaluations if one.failed], "cross", 6, INK)
    _mark(chart, stopped, "ring", 7, MUTED, measure.name)
    _mark(chart, [found.selected] if isinstance(found, Direction) else [], "star", 14, INK)
    return chart


def against_kl(found: Direction | NoDirection, kl_limit: float) -> Chart:
    """The first measure of the selection (bypass) of every candidate against its KL, with the limit.

    Candidates that were not asked on all prompts are rings, at the means over their first prompts, if
    these were asked both.
    """
    measure = found.selection.measures[0]
    chosen = found.selected if isinstance(found, Direction) else None
    others = [one for one in found.evaluations if one != chosen]
    kinds = (
        ("not asked on all prompts", "ring", 7, MUTED, list(found.stopped)),
        ("breaks a limit", "cross", 7, HARMFUL, [one for one in others if one.failed]),
        ("passes every filter", "circle", 8, OWN, [one for one in others if not one.failed]),
        ("chosen", "star", 15, OWN, [chosen] if chosen else []),
    )
    chart = Chart(
        x=Axis("KL on harmless prompts (nats)", log=True),
        y=Axis(f"{measure.title} {measure.unit}"),
        height=230,
    )
    for name, symbol, size, colour, candidates in kinds:
        both = [(one, _value(one, measure)) for one in candidates if one.kl is not None]
        points = [(one, value) for one, value in both if value is not None]
        chart.points(
            [max(one.kl or 0.0, _SMALLEST_KL) for one, _ in points],
            [value for _, value in points],
            colour=colour,
            name=name,
            said=[f"{_said(one)}; {value:z.3f}, KL {one.kl:z.4f}" for one, value in points],
            symbol=symbol,
            size=size,
        )
    chart.rule(x=kl_limit)
    return chart


def _value(one: DirectionEvaluation | StoppedDirection, measure: DirectionMeasure) -> float | None:
    if isinstance(one, DirectionEvaluation):
        return one.measure(measure.name)
    return one.bypass if measure.name == "bypass" else None


def _said(one: DirectionEvaluation | StoppedDirection) -> str:
    place = f"layer {one.layer}, position {one.position}"
    if isinstance(one, DirectionEvaluation):
        return f"{place}{': ' if one.failed else ''}{', '.join(one.failed)}"
    return f"{place}: {STOPPED[one.reason]}; bypass on {one.n_bypass}, KL on {one.n_kl} prompts"


def _mark(
    chart: Chart,
    candidates: Sequence[DirectionEvaluation | StoppedRow],
    symbol: str,
    size: float,
    colour: str,
    measure: str = "",
) -> None:
    """Add a mark for each candidate, with its number of `measure` shown on hover if it has one."""
    chart.points(
        [str(e.position) for e in candidates],
        [str(e.layer) for e in candidates],
        colour=colour,
        said=[
            f"layer {e.layer}, position {e.position}: {e.so_far.get(measure, NOT_ASKED)}; {e.reason}"
            for e in candidates
            if isinstance(e, StoppedRow)
        ],
        symbol=symbol,
        size=size,
    )


def _log(value: float) -> float:
    return log10(max(value, _SMALLEST_KL))
