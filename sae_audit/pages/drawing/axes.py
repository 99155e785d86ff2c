"""Axes of a chart: their limits, scales, ticks and names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, log10

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from sae_audit.pages.charts import Axis, Bars, Box, Cell, Chart, Points, Rule, Span
from sae_audit.pages.drawing.marks import Limits
from sae_audit.untrusted import printable

_WIDEST = 205
"""Pixels that names of rows or columns may take; longer ones are cut, and whole on hover."""
_LONGEST = 40
LETTERS = 12
"""Pixels, the size of letters."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    at: float
    said: str
    """Empty beside a line without a number, and where names are not written."""


def ticks_of(axis: Axis, limits: Limits, *, across: bool) -> list[Tick]:
    """Where the axis has a name, or a number with a line through the figure."""
    if axis.names:
        return [Tick(at=i, said=said) for i, said in enumerate(labels_of(axis))]
    low, high = limits
    if axis.ticks:
        places, said = list(axis.ticks), [f"{at:g}" for at in axis.ticks]
    elif axis.log:
        wide = log10(high / low) > 1.5
        locator = LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=6)
        places = list(locator.tick_values(low, high))
        said = [f"{at:g}" for at in places]
    else:
        most = 8 if axis.whole and across else 5
        locator = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=axis.whole)
        places = list(locator.tick_values(low, high))
        said = [f"{100 * at:g}%" for at in places] if axis.shares else _numbers(places, limits)
    return [
        Tick(at=float(at), said=text)
        for at, text in zip(places, said, strict=True)
        if low <= at <= high
    ]


def _numbers(places: list[float], limits: Limits) -> list[str]:
    found = ScalarFormatter(useOffset=False)
    found.create_dummy_axis()
    assert found.axis is not None
    found.axis.set_view_interval(*limits)
    return found.format_ticks(places)


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


@lru_cache(maxsize=4096)
def width_of(text: str) -> float:
    """Pixels of a line of text in a font that is wider than most."""
    prop = FontProperties(family="DejaVu Sans", size=LETTERS)
    return TextToPath().get_text_width_height_descent(text, prop, False)[0]
