"""What stands beside a drawing: the names of its marks, and what strengths of colour mean."""

from functools import lru_cache
from html import escape

from matplotlib.figure import Figure

from sae_audit.pages.charts import COLOURS, Bars, Chart, Mark, Points
from sae_audit.pages.drawing.marks import cell_opacity, put
from sae_audit.pages.drawing.svg import SvgRenderer
from sae_audit.untrusted import printable

_STEP = 12
"""Pixels of one step of a scale of colours."""


def key_html(chart: Chart) -> str:
    """A list of the named marks; empty if there are none."""
    named: dict[str, Points | Bars] = {}
    for mark in chart.marks:
        if isinstance(mark, Points | Bars) and mark.name:
            named.setdefault(mark.name, mark)
    if not named:
        return ""
    items = "".join(
        f"<li>{_swatch(mark)}{escape(printable(name), quote=False)}</li>"
        for name, mark in named.items()
    )
    return f'<ul class="key">{items}</ul>'


def _swatch(mark: Points | Bars) -> str:
    """The mark alone, as it looks in the figure."""
    if isinstance(mark, Bars):
        return _of_bar(mark.colours[0])
    size = min(mark.size, 10)
    return _of_point(mark.colour, mark.symbol, size, mark.opacity, mark.line, mark.dash)


@lru_cache(maxsize=512)
def _of_bar(colour: str) -> str:
    return _alone(Bars(at=[0.5], values=[0.8], colours=[colour], across=True, thickness=1))


@lru_cache(maxsize=512)
def _of_point(
    colour: str, symbol: str, size: float, opacity: float, line: float, dash: tuple[float, ...]
) -> str:
    through = Points(x=[0, 1], y=[0.5, 0.5], colour=colour, symbol="none", line=line, dash=dash)
    point = Points(x=[0.5], y=[0.5], colour=colour, symbol=symbol, size=size, opacity=opacity)
    return _alone(*([through] if line else []), point)


def _alone(*marks: Mark) -> str:
    width, height, limits = 22, 12, (0.0, 1.0)
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for mark in marks:
        put(axes, mark, limits, limits)
    axes.set(xlim=limits, ylim=limits)
    renderer = SvgRenderer(width, height)
    figure.draw(renderer)
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f"{renderer.body}</svg>"
    )


def scale_html(chart: Chart) -> str:
    """The strengths of cells from least to most between what they stand for."""
    if chart.scale is None:
        return ""
    least, most = (escape(printable(end), quote=False) for end in chart.scale.ends)
    steps = "".join(
        f'<path class="f-{name}" fill="{COLOURS[name][0]}" '
        f'fill-opacity="{cell_opacity(strength, written=False):g}" '
        f'd="M{_STEP * i} 0h{_STEP}v10h-{_STEP}z"/>'
        for i, (name, strength) in enumerate(chart.scale.colours)
    )
    width = _STEP * len(chart.scale.colours)
    return (
        f'<p class="scale">{least} <svg width="{width}" height="10" viewBox="0 0 {width} 10" '
        f'aria-hidden="true">{steps}</svg> {most}</p>'
    )
