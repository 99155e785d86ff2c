"""Axes of a chart: their limits, scales, ticks and names."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import isfinite, log10
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
    ScalarFormatter,
)

from sae_audit.pages.charts import GRID, SLATE, Axis, Bars, Box, Cell, Chart, Points, Rule, Span
from sae_audit.pages.drawing.marks import LETTERS, Limits, rgb
from sae_audit.untrusted import printable

_WIDEST = 205
"""Pixels that names of rows or columns may take; longer ones are cut, and whole on hover."""
_LONGEST = 40


def set_axis(
    axes: Axes, which: Literal["x", "y"], axis: Axis, limits: Limits, labels: Sequence[str]
) -> None:
    """Scale, ticks and grid of one axis; names have no grid."""
    own = axes.xaxis if which == "x" else axes.yaxis
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)
    if axis.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    own.set_minor_locator(NullLocator())
    if axis.names:
        own.set_major_locator(FixedLocator(list(range(len(labels)))))
        own.set_major_formatter(FuncFormatter(lambda at, _: str(labels[round(at)])))
    elif axis.ticks:
        own.set_major_locator(FixedLocator(list(axis.ticks)))
        own.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
    elif axis.log:
        wide = log10(limits[1] / limits[0]) > 1.5
        own.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=6))
        own.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
    else:
        own.set_major_locator(MaxNLocator(8 if axis.whole and which == "x" else 5, steps=[1, 2, 5, 10], integer=axis.whole))
        own.set_major_formatter(
            PercentFormatter(1, decimals=0) if axis.shares else ScalarFormatter(useOffset=False)
        )
    axes.tick_params(which, length=0, pad=5, labelsize=LETTERS, labelcolor=rgb(SLATE))
    if not axis.names:
        axes.grid(axis=which, color=rgb(GRID), linewidth=1)
    (axes.set_xlim if which == "x" else axes.set_ylim)(limits)


def limits_of(chart: Chart, axis: Axis, *, across: bool) -> Limits:
    """Ends of the axis: those that it states, else of its marks with a little room."""
    if axis.names:
        ends = (-0.5, len(axis.names) - 0.5)
        return ends if across else (ends[1], ends[0])
    if axis.limits:
        return axis.limits
    values = [one for one in _values(chart, across=across) if isfinite(one)] or [0.0, 1.0]
    if axis.log:
        low, high = min(values), max(values)
        room = max((high / low) ** 0.05, 1.25)
        return low / room, high * room
    low, high = min(values), max(values)
    if axis.from_zero or axis.shares:
        low, high = min(low, 0.0), max(high, 1.0 if axis.shares else high)
    if low == high:
        low, high = low - 0.5, high + 0.5
    room = 0.03 * (high - low) if axis.shares else 0.06 * (high - low)
    from_edge = axis.from_zero and low == 0.0
    return low if from_edge else low - room, high + room


def _values(chart: Chart, *, across: bool) -> Iterator[float]:
    """All numbers that marks have on one axis."""
    for mark in chart.marks:
        match mark:
            case Points():
                yield from mark.x if across else mark.y
                yield from _ends(mark.across if across else mark.upwards)
            case Bars():
                if mark.across == across:
                    # What is written at the end of a bar takes room behind it.
                    room = 1.12 if mark.written else 1.0
                    yield 0.0
                    yield from (value * room for value in mark.values)
                    yield from _ends(mark.spans)
                else:
                    yield from (at + side * 0.5 for at in mark.at for side in (-1, 1))
            case Box():
                yield from mark.values if across else ()
            case Rule():
                place = mark.x if across else mark.y
                yield from () if place is None else (place,)
            case Cell():
                pass


def _ends(spans: Sequence[Span]) -> Iterator[float]:
    for one in spans:
        yield from (one.low, one.high)


def labels_of(axis: Axis) -> list[str]:
    """Names as they are written beside the axis, cut to the room there is."""
    return [_cut(name) for name in axis.names] if axis.labelled else []


@lru_cache(maxsize=4096)
def _cut(name: str) -> str:
    whole = printable(name).replace("\n", " ")
    text = whole[:_LONGEST]
    if text == whole and width_of(text) <= _WIDEST:
        return text
    kept = next(n for n in range(len(text), 0, -1) if width_of(text[:n]) <= _WIDEST - 10)
    return f"{text[:kept]}…"


def written_ticks(axes: Axes, which: Literal["x", "y"]) -> list[str]:
    """Texts of the ticks between the axis' ends."""
    own = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(own.get_view_interval())
    places = [at for at in own.get_major_locator()() if low <= at <= high]
    return own.get_major_formatter().format_ticks(places)


def are_crowded(names: Sequence[str], room: float) -> bool:
    """Whether names side by side would run into each other."""
    return bool(names) and max(map(width_of, names)) + 6 > room / len(names)


@lru_cache(maxsize=4096)
def width_of(text: str) -> float:
    """Pixels of a line of text in a font that is wider than most."""
    prop = FontProperties(family="DejaVu Sans", size=LETTERS)
    return TextToPath().get_text_width_height_descent(text, prop, False)[0]
