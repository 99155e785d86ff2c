"""Charts as SVG: axes, ticks and shapes are matplotlib's."""

from html import escape
from typing import Any
from warnings import catch_warnings

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sae_audit.pages.charts import COLOURS, SLATE, Chart
from sae_audit.pages.drawing.axes import (
    are_crowded,
    labels_of,
    limits_of,
    set_axis,
    width_of,
    written_ticks,
)
from sae_audit.pages.drawing.key import key_html, scale_html
from sae_audit.pages.drawing.marks import LETTERS, put, rgb
from sae_audit.pages.drawing.svg import SvgRenderer
from sae_audit.untrusted import printable

WIDTH = 420
"""Pixels; narrow, so that letters can still be read where a phone shrinks the figure to its screen."""
_SETTINGS: dict[Any, Any] = {
    "text.parse_math": False,
    "lines.scale_dashes": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
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
    columns, rows = labels_of(chart.x), labels_of(chart.y)
    figure = Figure(figsize=(WIDTH / 72, 1), dpi=72)
    axes = figure.add_axes((0, 0, 1, 1))
    set_axis(axes, "x", chart.x, limits[0], columns)
    set_axis(axes, "y", chart.y, limits[1], rows)
    height = _make_room(chart, figure, axes, columns, rows)
    for mark in chart.marks:
        put(axes, mark, *limits)
    axes.set(xlim=limits[0], ylim=limits[1])
    renderer = SvgRenderer(WIDTH, height)
    figure.draw(renderer)
    return renderer.body, height


def _make_room(
    chart: Chart, figure: Figure, axes: Axes, columns: list[str], rows: list[str]
) -> int:
    """Height of the figure, whose axes are set where names, ticks and titles leave room."""
    inside = chart.height or chart.row * len(chart.y.names)
    left = 8 + max(map(width_of, rows or written_ticks(axes, "y")), default=4)
    right = 12 if chart.x.names else 18
    turned = are_crowded(columns, WIDTH - left - right)
    if turned:
        for text in axes.get_xticklabels():
            text.set(rotation=60, ha="right", va="center", rotation_mode="anchor")
    # A line turned by 60 degrees is as deep as 0.87 of its length.
    names = 12 + 0.87 * max(map(width_of, columns)) if turned else 22
    top, bottom = 24 if chart.y.title else 8, names + (20 if chart.x.title else 0)
    height = round(top + inside + bottom)
    width = WIDTH - left - right
    figure.set_size_inches(WIDTH / 72, height / 72)
    axes.set_position((left / WIDTH, bottom / height, width / WIDTH, inside / height))
    look: dict[str, Any] = {"fontsize": LETTERS, "color": rgb(SLATE), "va": "baseline"}
    half = width_of(chart.x.title) / 2
    middle = max(min(left + width / 2, WIDTH - half), WIDTH / 2 if half > WIDTH / 2 else half)
    figure.text(middle / WIDTH, 5 / height, printable(chart.x.title), ha="center", **look)
    figure.text(0, 1 - 14 / height, printable(chart.y.title), ha="left", **look)
    return height
