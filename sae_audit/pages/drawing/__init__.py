"""Charts as SVG: axes, ticks and shapes are matplotlib's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from warnings import catch_warnings

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sae_audit.pages.charts import COLOURS, Chart
from sae_audit.pages.drawing.axes import LETTERS, Tick, limits_of, ticks_of, width_of
from sae_audit.pages.drawing.key import key_html, scale_html
from sae_audit.pages.drawing.marks import pixels, put, put_grid, texts_on
from sae_audit.pages.drawing.svg import SvgRenderer, Text
from sae_audit.untrusted import printable

WIDTH = 420
"""Pixels; narrow, so that letters can still be read where a phone shrinks the figure to its screen."""
_SETTINGS: dict[Any, Any] = {
    "lines.scale_dashes": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}
"""Above matplotlib's defaults; what a user has set for figures of their own does not reach these."""


def figure_html(chart: Chart, title: str) -> str:
    """The figure's key and drawing as HTML, with the title and its description for a screen reader."""
    # Letters that its font lacks are measured as an empty box, and the browser has another font anyway.
    with mpl.rc_context(), catch_warnings(action="ignore", category=UserWarning):
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        body, height = _drawn(chart)
        key = key_html(chart)
    label = escape(f"{printable(title)}. {chart.described}".strip())
    return (
        f'{key}<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="{LETTERS}">{body}</svg>{scale_html(chart)}'
        f"{_numbers_html(chart, title)}"
    )


def _numbers_html(chart: Chart, title: str) -> str:
    """Everything that the figure says on hover, folded below it; empty if it has no marks."""
    rows = "".join(f"<li>{escape(printable(one), quote=False)}</li>" for one in chart.numbers)
    if not rows:
        return ""
    return (
        '<details class="numbers"><summary>The numbers of this figure</summary>'
        f'<div class="scroll tall" role="group" aria-label="{escape(f"Numbers: {printable(title)}")}" '
        f'tabindex="0"><ul>{rows}</ul></div></details>'
    )


def palette_css() -> str:
    """Style of the names that drawings give their colours; on the page's own ink and paper."""

    def values(of: int) -> str:
        return "".join(f"--{name}: {both[of]}; " for name, both in COLOURS.items())

    rules = "\n".join(
        f".f-{name} {{ fill: var(--{name}); }} .s-{name} {{ stroke: var(--{name}); }}"
        for name in COLOURS
    )
    return (
        f":root {{ {values(0)}}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {values(1)}}} }}\n{rules}\n"
    )


def _drawn(chart: Chart) -> tuple[str, int]:
    """Body of the SVG and its height."""
    limits = limits_of(chart, chart.x, across=True), limits_of(chart, chart.y, across=False)
    ticks = (
        ticks_of(chart.x, limits[0], across=True),
        ticks_of(chart.y, limits[1], across=False),
    )
    room = _room(chart, *ticks)
    figure = Figure(figsize=(WIDTH / 72, room.height / 72), dpi=72)
    axes = figure.add_axes(room.inside)
    # Its grid and texts are drawn below: matplotlib's take ten times as long.
    axes.set_axis_off()
    axes.set_xscale("log" if chart.x.log else "linear")
    axes.set_yscale("log" if chart.y.log else "linear")
    axes.set(xlim=limits[0], ylim=limits[1])
    put_grid(axes, chart.x, chart.y, *([tick.at for tick in each] for each in ticks))
    for mark in chart.marks:
        put(axes, mark, *limits)
    axes.set(xlim=limits[0], ylim=limits[1])
    renderer = SvgRenderer(WIDTH, room.height)
    figure.draw(renderer)
    for mark in chart.marks:
        for text in texts_on(axes, mark):
            renderer.write(text)
    for text in _texts_beside(chart, axes, room, *ticks):
        renderer.write(text)
    return renderer.body, room.height


@dataclass(frozen=True, kw_only=True)
class _Room:
    """Pixels that names, numbers and titles take around the axes."""

    left: float
    right: float
    bottom: float
    height: int
    """Of the whole figure."""
    inside: tuple[float, float, float, float]
    """Left and bottom corner, width and height of the axes, as shares of the figure."""
    turned: bool
    """Whether the names of columns are turned, since they do not fit side by side."""


def _room(chart: Chart, across: Sequence[Tick], upwards: Sequence[Tick]) -> _Room:
    inside = chart.height or chart.row * len(chart.y.names)
    left = 8 + max((width_of(tick.said) for tick in upwards), default=4)
    right = 12 if chart.x.names else 18
    width = WIDTH - left - right
    widest = max((width_of(tick.said) for tick in across), default=0)
    turned = bool(chart.x.names) and widest + 6 > width / len(chart.x.names)
    # A line turned by 60 degrees is as deep as 0.87 of its length.
    bottom = (14 + 0.87 * widest if turned else 22) + (20 if chart.x.title else 0)
    height = round((24 if chart.y.title else 8) + inside + bottom)
    return _Room(
        left=left,
        right=right,
        bottom=bottom,
        height=height,
        inside=(left / WIDTH, bottom / height, width / WIDTH, inside / height),
        turned=turned,
    )


def _texts_beside(
    chart: Chart, axes: Axes, room: _Room, across: Sequence[Tick], upwards: Sequence[Tick]
) -> Iterator[Text]:
    """Names and numbers along both axes, and their titles."""
    level = room.height - room.bottom
    for tick in across:
        x, _ = pixels(axes, tick.at, 1)
        if room.turned:
            yield Text(x=x + 4, y=level + 12, said=tick.said, anchor="end", turned=-60)
        else:
            yield Text(x=x, y=level + 16, said=tick.said, anchor="middle")
    for tick in upwards:
        _, y = pixels(axes, 1, tick.at)
        yield Text(x=room.left - 6, y=y + 4, said=tick.said, anchor="end")
    if chart.x.title:
        # In the middle of the axes, or as near to it as the title's length allows.
        half = width_of(chart.x.title) / 2
        middle = room.left + (WIDTH - room.left - room.right) / 2
        middle = max(min(middle, WIDTH - half), min(half, WIDTH / 2))
        yield Text(x=middle, y=room.height - 5, said=chart.x.title, anchor="middle")
    if chart.y.title:
        yield Text(x=0, y=12, said=chart.y.title)
