"""matplotlib's drawing as SVG whose colours are the page's.

matplotlib's own SVG has fixed colours, an id for each shape that other figures of a page may have too,
and no text on hover. This backend writes named colours as classes, which the page's style sets for
light, dark and print, with the light colour beside them for where there is no such style; groups shapes
of one look; and writes what an artist says on hover (its url, which matplotlib hands to a backend as it
is) as `<title>`. Numbers have one decimal of a pixel. The same drawing is the same text.
"""

from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import to_hex
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Transform

from sae_audit.pages.charts import COLOURS, SLATE
from sae_audit.untrusted import printable

_NAMES = {light: name for name, (light, _) in COLOURS.items()}
_TENTHS = 10


@dataclass(frozen=True, kw_only=True)
class Text:
    """A line of text on its baseline, in pixels from the upper left corner."""

    x: float
    y: float
    said: str
    anchor: Literal["start", "middle", "end"] = "start"
    turned: float = 0
    """Degrees, clockwise."""
    colour: str = SLATE


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

    def write(self, text: Text) -> None:
        """Write a text, above all shapes. The browser has another font than any that it could be
        measured with, so it is held by its beginning, middle or end."""
        x, y = _number(text.x), _number(text.y)
        anchor = f' text-anchor="{text.anchor}"' if text.anchor != "start" else ""
        turned = f' transform="rotate({text.turned:g} {x} {y})"' if text.turned else ""
        said = escape(printable(text.said), quote=False)
        self._texts.add(
            f'class="f-{text.colour}" fill="{COLOURS[text.colour][0]}"',
            f'<text x="{x}" y="{y}"{anchor}{turned}>{said}</text>',
        )

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
        to_x, to_y = round(float(vertices[0]) * _TENTHS), round(float(vertices[1]) * _TENTHS)
        across, down = (to_x - x) / _TENTHS, (to_y - y) / _TENTHS
        if code == Path.MOVETO:
            steps.append(f"M{to_x / _TENTHS:g} {to_y / _TENTHS:g}")
        elif to_y == y:
            steps.append(f"h{across:g}")
        elif to_x == x:
            steps.append(f"v{down:g}")
        else:
            steps.append(f"l{across:g} {down:g}")
        x, y = to_x, to_y
    return f'<path d="{"".join(steps)}"'


def _circle(path: Path) -> str:
    """Two arcs: the only curves that figures draw are round marks."""
    corners = np.asarray(path.vertices)
    left, top = corners.min(axis=0)
    width, height = np.ptp(corners, axis=0)
    assert abs(width - height) < 0.1, "a curve that is no circle"
    r, across = _number(width / 2), _number(width)
    arcs = f"a{r} {r} 0 1 0 {across} 0a{r} {r} 0 1 0-{across} 0"
    return f"M{_number(left)} {_number(top + height / 2)}{arcs}"


def _number(value: float) -> str:
    return f"{round(float(value) * _TENTHS) / _TENTHS:g}"
