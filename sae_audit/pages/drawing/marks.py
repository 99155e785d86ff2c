"""Marks of a chart as matplotlib's shapes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb

from sae_audit.pages.charts import (
    COLOURS,
    DOTTED,
    GRID,
    INK,
    MUTED,
    PAPER,
    SLATE,
    Axis,
    Bars,
    Box,
    Cell,
    Mark,
    Points,
    Rule,
    Span,
)
from sae_audit.pages.drawing.svg import Text

Limits = tuple[float, float]
_SYMBOLS = {"circle": "o", "ring": "o", "square": "s", "cross": "x", "star": "*"}
_SYMBOLS |= {"diamond": "D", "diamond-ring": "D"}


def rgb(name: str) -> tuple[float, float, float]:
    """The colour on white."""
    return to_rgb(COLOURS[name][0])


def cell_opacity(strength: float, *, written: bool) -> float:
    """Of a cell's colour; text on it stays readable in ink."""
    return round(0.07 + (0.5 if written else 0.88) * strength, 2)


def put(axes: Axes, mark: Mark, x_limits: Limits, y_limits: Limits) -> None:
    """Add the mark's shapes to axes with these limits."""
    match mark:
        case Points():
            _put_points(axes, mark, x_limits, y_limits)
        case Bars():
            _put_bars(axes, mark, x_limits if mark.across else y_limits)
        case Box():
            _put_box(axes, mark)
        case Cell():
            _put_cell(axes, mark)
        case Rule():
            look: dict[str, Any] = {"color": rgb(MUTED), "linewidth": 1.5, "linestyle": (0, DOTTED)}
            if mark.x is not None:
                axes.axvline(mark.x, **look)
            if mark.y is not None:
                axes.axhline(mark.y, **look)


def _put_points(axes: Axes, mark: Points, x_limits: Limits, y_limits: Limits) -> None:
    """Add lines and intervals, and the marks above them."""
    colour = rgb(mark.colour)
    if mark.line:
        (line,) = axes.plot(
            mark.x,
            mark.y,
            color=(*colour, mark.opacity),
            linewidth=mark.line,
            linestyle=(0, mark.dash) if mark.dash else "-",
        )
        if mark.symbol == "none" and mark.said:
            line.set_url(mark.said[0])
    segments = [
        ((low, y), (high, y))
        for y, (low, high) in zip(mark.y, _within(mark.across, x_limits), strict=False)
    ] + [
        ((x, low), (x, high))
        for x, (low, high) in zip(mark.x, _within(mark.upwards, y_limits), strict=False)
    ]
    if segments:
        axes.add_collection(
            LineCollection(segments, colors=[colour], linewidths=1.5), autolim=False
        )
    if mark.symbol != "none" and mark.x:
        axes.scatter(mark.x, mark.y, urls=list(mark.said) or [None], **_symbol(mark))


def _symbol(mark: Points) -> dict[str, Any]:
    """Shape, size and colours, as matplotlib's scatter takes them."""
    colour = rgb(mark.colour)
    look: dict[str, Any] = {"marker": _SYMBOLS[mark.symbol], "s": mark.size**2}
    if mark.symbol in {"ring", "diamond-ring"}:
        return look | {"facecolors": "none", "edgecolors": [colour], "linewidths": 1.5}
    if mark.symbol == "cross":
        return look | {"color": [colour], "linewidths": 1.8}
    if mark.symbol == "star":
        return look | {"facecolors": [colour], "edgecolors": [rgb(PAPER)], "linewidths": 1}
    return look | {"facecolors": [(*colour, mark.opacity)], "linewidths": 0}


def _put_bars(axes: Axes, mark: Bars, limits: Limits) -> None:
    """Add bars with their intervals."""
    half = mark.thickness / 2
    corners, segments = [], []
    for at, value in zip(mark.at, mark.values, strict=True):
        box = [(0, at - half), (value, at - half), (value, at + half), (0, at + half)]
        corners.append(box if mark.across else [(y, x) for x, y in box])
    for at, ends in zip(mark.at, _within(mark.spans, limits), strict=False):
        line = [(end, at) for end in ends]
        segments.append(line if mark.across else [(y, x) for x, y in line])
    faces = [(*rgb(one), 0.75) for one in mark.colours]
    urls = list(mark.said) or [None]
    axes.add_collection(
        PolyCollection(corners, facecolors=faces, linewidths=0, urls=urls), autolim=False
    )
    if segments:
        axes.add_collection(
            LineCollection(segments, colors=[rgb(SLATE)], linewidths=1.5), autolim=False
        )


def _within(spans: Sequence[Span], limits: Limits) -> list[tuple[float, float]]:
    """Ends of each interval inside the figure; one that excludes nothing reaches its edges."""
    low, high = min(limits), max(limits)
    return [(max(one.low, low), min(one.high, high)) for one in spans]


def _put_box(axes: Axes, mark: Box) -> None:
    (found,) = boxplot_stats(np.asarray(mark.values, dtype=float))
    low, high, y = mark.row - 0.3, mark.row + 0.3, mark.row
    segments = [
        [
            (found["q1"], low),
            (found["q3"], low),
            (found["q3"], high),
            (found["q1"], high),
            (found["q1"], low),
        ],
        [(found["med"], low), (found["med"], high)],
        [(found["whislo"], y), (found["q1"], y)],
        [(found["q3"], y), (found["whishi"], y)],
    ]
    axes.add_collection(LineCollection(segments, colors=[rgb(MUTED)], linewidths=1), autolim=False)


def put_grid(
    axes: Axes, x: Axis, y: Axis, across: Sequence[float], upwards: Sequence[float]
) -> None:
    """Add a line through the figure at each number of an axis; names have none."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    lines = [] if x.names else [[(at, low), (at, high)] for at in across]
    lines += [] if y.names else [[(left, at), (right, at)] for at in upwards]
    axes.add_collection(LineCollection(lines, colors=[rgb(GRID)], linewidths=1), autolim=False)


def _put_cell(axes: Axes, mark: Cell) -> None:
    x, y, half = mark.column, mark.row, 0.46
    corners = [
        [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    ]
    face = (*rgb(mark.colour), cell_opacity(mark.strength, written=bool(mark.written)))
    axes.add_collection(
        PolyCollection(corners, facecolors=[face], linewidths=0, urls=[mark.said or None]),
        autolim=False,
    )


def texts_on(axes: Axes, mark: Mark) -> list[Text]:
    """What is written on the mark or at its end."""
    match mark:
        case Bars():
            ends = zip(mark.at, mark.values, mark.written, strict=False)
            return [_at_end(axes, mark, at, value, said) for at, value, said in ends]
        case Cell() if mark.written:
            x, y = pixels(axes, mark.column, mark.row)
            return [Text(x=x, y=y + 4, said=mark.written, anchor="middle", colour=INK)]
        case _:
            return []


def _at_end(axes: Axes, mark: Bars, at: float, value: float, said: str) -> Text:
    if mark.across:
        x, y = pixels(axes, value, at)
        return Text(x=x + 4, y=y + 4, said=said)
    x, y = pixels(axes, at, value)
    return Text(x=x, y=y - 4, said=said, anchor="middle")


def pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """The place on the axes, from the figure's upper left corner."""
    across, up = axes.transData.transform((x, y))
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(across), float(figure.bbox.height - up)
