"""What stands beside a drawing: the names of its marks, and what strengths of colour mean."""

from html import escape

from matplotlib.figure import Figure

from sae_audit.pages.charts import COLOURS, Bars, Chart, Points
from sae_audit.pages.drawing.marks import cell_opacity, put_bars, put_points
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
    width, height = 22, 12
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    limits = (0.0, 1.0)
    if isinstance(mark, Bars):
        one = Bars(at=[0.5], values=[0.8], colours=mark.colours[:1], across=True, thickness=1)
        put_bars(axes, one, limits)
    else:
        look = {"colour": mark.colour, "symbol": mark.symbol, "size": min(mark.size, 10)}
        look |= {"opacity": mark.opacity}
        if mark.line:
            ends = Points(
                x=[0, 1],
                y=[0.5, 0.5],
                colour=mark.colour,
                symbol="none",
                line=mark.line,
                dash=mark.dash,
            )
            put_points(axes, ends, limits, limits)
        put_points(axes, Points(x=[0.5], y=[0.5], **look), limits, limits)
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
