"""matplotlib's drawing as SVG whose colours are the page's.

matplotlib's own SVG has fixed colours, an id for each shape that other figures of a page may have too,
and no text on hover. This backend writes named colours as classes, which the page's style sets for
light, dark and print, with the light colour beside them for where there is no such style; groups shapes
of one look; and writes what an artist says on hover (its url, which matplotlib hands to a backend as it
is) as `<title>`. Numbers have one decimal of a pixel. The same drawing is the same text.
"""

from html import escape
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import to_hex
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Transform

from sae_audit.pages.charts import COLOURS

_NAMES = {light: name for name, (light, _) in COLOURS.items()}
_TENTHS = 10


class _Groups:
    """Elements in groups of one look each."""

    def __init__(self) -> None:
        self._written: list[str] = []
        self._look = ""

    def add(self, look: str, element: str) -> None:
        if look != self._look:
            self._written.append(f"</g><g {look}>" if self._look else f"<g {look}>")
            self._look = look
        self._written.append(element)

    @property
    def written(self) -> str:
        return "".join(self._written) + ("</g>" if self._look else "")


class SvgRenderer(RendererBase):
    """Shapes and texts in pixels from the upper left corner, gathered in `body`."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self.width, self.height = width, height
        self._shapes, self._texts = _Groups(), _Groups()

    @property
    def body(self) -> str:
        """Everything drawn so far, texts above shapes, without the svg element around it."""
        return self._shapes.written + self._texts.written

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.width, self.height

    def points_to_pixels(self, points: Any) -> Any:
        return points

    def draw_path(
        self,
        gc: GraphicsContextBase,
        path: Path,
        transform: Transform,
        rgbFace: Any = None,  # noqa: N803 (matplotlib's name)
    ) -> None:
        """The shape, in a group with those of its look; nothing if it has no visible colour."""
        look = self._look(gc, rgbFace)
        if not look:
            return
        flipped = transform + Affine2D().scale(1, -1).translate(0, self.height)
        shape = _shape(flipped.transform_path(path))
        said = gc.get_url()
        self._shapes.add(look, f"{shape}/>" if not said else f"{shape}>{_title(said)}")

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: bool | str = False,
        mtext: Text | None = None,
    ) -> None:
        """One line of text that begins, ends or is centred where matplotlib has it do so, since the
        browser's font is not the one it was measured with."""
        assert not ismath, s
        name = self._name(gc.get_rgb())
        size = prop.get_size_in_points()
        anchor = ""
        if mtext is not None:
            x, y, anchor = self._anchored(mtext, x, y, angle)
        turn = f' transform="rotate({-angle:g} {_number(x)} {_number(y)})"' if angle else ""
        look = f'class="f-{name}" fill="{self._hex(gc.get_rgb())}" font-size="{size:g}"'
        place = f'x="{_number(x)}" y="{_number(y)}"'
        self._texts.add(look, f"<text {place}{anchor}{turn}>{escape(s, quote=False)}</text>")

    def _anchored(self, text: Text, x: float, y: float, angle: float) -> tuple[float, float, str]:
        """Where the line is held, on its baseline, and the attribute that says by which end."""
        held_x, held_y = text.get_transform().transform(text.get_unitless_position())
        along_x, along_y = np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle))
        far = (held_x - x) * along_x + (self.height - held_y - y) * along_y
        end = {"left": "", "center": "middle", "right": "end"}[text.get_horizontalalignment()]
        anchor = f' text-anchor="{end}"' if end else ""
        return x + far * along_x, y + far * along_y, anchor

    def _look(self, gc: GraphicsContextBase, face: Any) -> str:
        """Attributes of fill and stroke; empty if neither can be seen."""
        forced = gc.get_alpha() if gc.get_forced_alpha() else None
        edge = gc.get_rgb()
        width = gc.get_linewidth()
        filled = face is not None and _alpha(face, forced) > 0
        stroked = width > 0 and _alpha(edge, forced) > 0
        if not filled and not stroked:
            return ""
        classes, rest = [], []
        if filled:
            classes.append(f"f-{self._name(face)}")
            rest.append(f'fill="{self._hex(face)}"')
            rest += _opacity("fill-opacity", _alpha(face, forced))
        else:
            rest.append('fill="none"')
        if stroked:
            classes.append(f"s-{self._name(edge)}")
            rest.append(f'stroke="{self._hex(edge)}"')
            rest += [f'stroke-width="{width:g}"'] if width != 1 else []
            rest += _opacity("stroke-opacity", _alpha(edge, forced))
            dashes = gc.get_dashes()[1]
            if dashes is not None:
                rest.append(
                    f'stroke-dasharray="{" ".join(f"{one:g}" for one in np.ravel(dashes))}"'
                )
        return f'class="{" ".join(classes)}" {" ".join(rest)}'

    def _hex(self, colour: Any) -> str:
        return to_hex(tuple(colour)[:3])

    def _name(self, colour: Any) -> str:
        found = self._hex(colour)
        assert found in _NAMES, f"{found} is no colour of the page"
        return _NAMES[found]


def _alpha(colour: Any, forced: float | None) -> float:
    return forced if forced is not None else (1.0 if len(colour) < 4 else float(colour[3]))


def _opacity(name: str, value: float) -> list[str]:
    return [f'{name}="{value:.2g}"'] if value < 1 else []


def _title(said: str) -> str:
    return f"<title>{escape(said, quote=False)}</title></path>"


def _shape(path: Path) -> str:
    """The beginning of the path element; straight lines in relative steps of whole tenths."""
    if path.codes is not None and (np.asarray(path.codes) == Path.CURVE4).any():
        return f'<path d="{_circle(path)}"'
    steps: list[str] = []
    x = y = 0
    for vertices, code in path.iter_segments(simplify=False, curves=False):
        if code == Path.CLOSEPOLY:
            steps.append("z")
            continue
        to_x, to_y = round(vertices[0] * _TENTHS), round(vertices[1] * _TENTHS)
        if code == Path.MOVETO:
            steps.append(f"M{_tenths(to_x)} {_tenths(to_y)}")
        elif to_y == y:
            steps.append(f"h{_tenths(to_x - x)}")
        elif to_x == x:
            steps.append(f"v{_tenths(to_y - y)}")
        else:
            steps.append(f"l{_tenths(to_x - x)} {_tenths(to_y - y)}")
        x, y = to_x, to_y
    return f'<path d="{"".join(steps)}"'


def _circle(path: Path) -> str:
    """Two arcs: the only curves that figures draw are round marks."""
    ends = path.get_extents()
    radius = ends.width / 2
    assert abs(ends.width - ends.height) < 0.1, "a curve that is no circle"
    r, across = _number(radius), _number(2 * radius)
    arcs = f"a{r} {r} 0 1 0 {across} 0a{r} {r} 0 1 0-{across} 0"
    return f"M{_number(ends.x0)} {_number(ends.y0 + radius)}{arcs}"


def _number(value: float) -> str:
    return _tenths(round(float(value) * _TENTHS))


def _tenths(value: int) -> str:
    whole, rest = divmod(abs(value), _TENTHS)
    sign = "-" if value < 0 else ""
    if not rest:
        return f"{sign}{whole}" if whole else "0"
    return f"{sign}{whole or ''}.{rest}"
