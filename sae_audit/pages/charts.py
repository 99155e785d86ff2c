"""What a figure shows, in the words of its data; `drawing` makes an SVG of it.

A chart is two axes and the marks on them. Rows and columns with names are named in the axis and in the
marks. Colours are names, which the page sets for light, dark and print.

    chart = Chart(x=Axis("share refused", shares=True), y=Axis(names=("fraud", "violence")))
    chart.points([0.9, 1.0], ["fraud", "violence"], colour=HARMFUL, said=["9 of 10", "10 of 10"])
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite

from sae_audit.findings import Estimate
from sae_audit.untrusted import printable

INK, PAPER, GRID, MUTED = "ink", "paper", "grid", "muted"
HARMFUL, HARMLESS, OWN = "harmful", "harmless", "own"
AMBER, OCHRE, PINK, SKY, SLATE, OLIVE = "amber", "ochre", "pink", "sky", "slate", "olive"
COLOURS = {
    INK: ("#1c2430", "#e6e9ee"),
    PAPER: ("#ffffff", "#14181f"),
    GRID: ("#dfe3e8", "#2d3540"),
    MUTED: ("#707b89", "#8f9aa9"),
    HARMFUL: ("#d55e00", "#ff8a3d"),
    HARMLESS: ("#0072b2", "#4aa3ff"),
    OWN: ("#008a64", "#2fc49a"),
    AMBER: ("#a86f00", "#e69f00"),
    OCHRE: ("#7d5500", "#c79a3c"),
    PINK: ("#b0578a", "#e29ac6"),
    SKY: ("#2b86bb", "#7cc7f2"),
    SLATE: ("#4d5663", "#b4bdc9"),
    OLIVE: ("#7d7300", "#d0c24a"),
}
"""On white and on black: Okabe and Ito's hues, told apart with any colour vision, as light or dark as
3 : 1 against the paper takes (WCAG 1.4.11)."""
SET_COLOURS = {
    "minimal": OWN,
    "pooled": OWN,
    "random_matched": MUTED,
    "random_norm": SLATE,
    "linear_probe": AMBER,
    "linear_probe_end": OCHRE,
    "top_cosine": PINK,
    "mean_difference": SKY,
    "attribution": HARMFUL,
    "direction": HARMLESS,
}
SET_LABELS = {
    "minimal": "own minimal set",
    "pooled": "pooled set",
    "random_matched": "random, firing as often",
    "random_norm": "random, equal norm",
    "linear_probe": "linear probe, peaks",
    "linear_probe_end": "linear probe, last token",
    "top_cosine": "top cosine",
    "mean_difference": "difference of means",
    "attribution": "attribution",
    "direction": "direction, cut down",
}
SOLID: tuple[float, ...] = ()
DASHED: tuple[float, ...] = (6, 4)
DOTTED: tuple[float, ...] = (1.5, 3)

Place = float | str
"""On an axis: a number, or one of its names."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """From where to where an interval reaches; not finite where it excludes nothing on that side."""

    low: float
    high: float


def span(estimate: Estimate) -> Span:
    return Span(low=estimate.low, high=estimate.high)


@dataclass(frozen=True)
class Axis:
    title: str = ""
    names: Sequence[str] = ()
    """Of its rows from the top, or of its columns from the left; empty on an axis of numbers."""
    log: bool = False
    shares: bool = False
    """From 0 to 100%."""
    whole: bool = False
    """Ticks at whole numbers alone."""
    ticks: Sequence[float] = ()
    """Where ticks are; empty: at round numbers."""
    from_zero: bool = False
    limits: tuple[float, float] | None = None
    labelled: bool = True
    """Whether its names are written; of too many they are said on hover alone."""

    def at(self, place: Place) -> float:
        """The place as a number; names are 0, 1, 2 and so on."""
        return float(self.names.index(place)) if isinstance(place, str) else float(place)

    def named(self, place: float) -> str:
        """The place in words: the name of its row or column, or the number."""
        return printable(self.names[round(place)]) if self.names else f"{place:.3g}"


@dataclass(frozen=True, kw_only=True)
class Points:
    """A mark at each place, with intervals across or upwards and a line from each to the next."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    name: str = ""
    """In the key above the figure; not there if empty."""
    said: Sequence[str] = ()
    """On hover, of each; empty: nothing."""
    symbol: str = "circle"
    """circle, ring, diamond, diamond-ring, square, cross, star or none."""
    size: float = 7
    opacity: float = 0.8
    across: Sequence[Span] = ()
    upwards: Sequence[Span] = ()
    line: float = 0
    """Its width; 0: none."""
    dash: tuple[float, ...] = SOLID

    @property
    def n(self) -> int:
        return len(self.x)


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A bar from 0 to each value, at a place of the other axis."""

    at: Sequence[float]
    values: Sequence[float]
    colours: Sequence[str]
    name: str = ""
    said: Sequence[str] = ()
    spans: Sequence[Span] = ()
    written: Sequence[str] = ()
    """At the end of each bar."""
    across: bool = False
    """Whether they lie on rows."""
    thickness: float = 0.6
    """In rows or columns."""

    @property
    def n(self) -> int:
        return len(self.values)


@dataclass(frozen=True, kw_only=True)
class Box:
    """The middle half of values on one row, with their median and all that is not far out."""

    values: Sequence[float]
    row: float


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place of a grid of named columns and rows."""

    column: float
    row: float
    colour: str
    strength: float
    """From 0, nearly the paper, to 1, the colour."""
    said: str = ""
    written: str = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A dotted line all through the figure."""

    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the strengths of cells mean, from the least to the most."""

    ends: tuple[str, str]
    colours: Sequence[tuple[str, float]]
    """Colour and strength of each step."""


Mark = Points | Bars | Box | Cell | Rule


@dataclass(kw_only=True)
class Chart:
    """Axes, marks in the order in which they are drawn, and the room that they take."""

    x: Axis
    y: Axis
    height: float = 0
    """Of the plot between its axes, pixels; 0: by its rows."""
    row: float = 26
    """Pixels of a named row."""
    scale: Scale | None = None
    marks: list[Mark] = field(default_factory=list)

    def points(
        self,
        x: Sequence[Place],
        y: Sequence[Place],
        *,
        colour: str,
        name: str = "",
        said: Sequence[str] = (),
        symbol: str = "circle",
        size: float = 7,
        opacity: float = 0.8,
        across: Sequence[Span] = (),
        upwards: Sequence[Span] = (),
        line: float = 0,
        dash: tuple[float, ...] = SOLID,
    ) -> None:
        """Add marks (`Points`)."""
        self._add(
            Points(
                x=[self.x.at(one) for one in x],
                y=[self.y.at(one) for one in y],
                colour=colour,
                name=name,
                said=[printable(one) for one in said],
                symbol=symbol,
                size=size,
                opacity=opacity,
                across=across,
                upwards=upwards,
                line=line,
                dash=dash,
            )
        )

    def bars(
        self,
        at: Sequence[Place],
        values: Sequence[float],
        *,
        colours: str | Sequence[str],
        name: str = "",
        said: Sequence[str] = (),
        spans: Sequence[Span] = (),
        written: Sequence[str] = (),
        across: bool = False,
        thickness: float = 0.6,
        beside: float = 0.0,
    ) -> None:
        """Add bars (`Bars`), moved by `beside` rows or columns where others stand at their place."""
        axis = self.y if across else self.x
        each = [colours] * len(at) if isinstance(colours, str) else list(colours)
        self._add(
            Bars(
                at=[axis.at(one) + beside for one in at],
                values=values,
                colours=each,
                name=name,
                said=[printable(one) for one in said],
                spans=spans,
                written=written,
                across=across,
                thickness=thickness,
            )
        )

    def box(self, values: Sequence[float], row: Place) -> None:
        """Add the box of values on one row."""
        self._add(Box(values=values, row=self.y.at(row)))

    def cell(
        self,
        column: Place,
        row: Place,
        *,
        colour: str,
        strength: float,
        said: str = "",
        written: str = "",
    ) -> None:
        """Add one place of a grid."""
        assert 0.0 <= strength <= 1.0, strength
        self._add(
            Cell(
                column=self.x.at(column),
                row=self.y.at(row),
                colour=colour,
                strength=strength,
                said=printable(said),
                written=written,
            )
        )

    def rule(self, *, x: float | None = None, y: float | None = None) -> None:
        """Add a dotted line."""
        self._add(Rule(x=x, y=y))

    def series(self, name: str) -> list[Points | Bars]:
        """The marks that the key names so."""
        return [one for one in self.marks if isinstance(one, Points | Bars) and one.name == name]

    @property
    def said(self) -> list[str]:
        """Everything that hovering shows."""
        found: list[str] = []
        for mark in self.marks:
            if isinstance(mark, Points | Bars):
                found += mark.said
            elif isinstance(mark, Cell):
                found.append(mark.said)
        return found

    @property
    def numbers(self) -> list[str]:
        """What each mark shows, in words, for whoever does not hover: keyboards, fingers, readers."""
        return [
            said
            for mark in self.marks
            if isinstance(mark, Points | Bars | Cell)
            for said in self._numbers(mark)
        ]

    def _numbers(self, mark: Points | Bars | Cell) -> list[str]:
        if isinstance(mark, Cell):
            place = f"{self.y.names[round(mark.row)]}, {self.x.names[round(mark.column)]}"
            return [mark.said or f"{place}: {mark.written or f'{mark.strength:z.2f}'}"]
        if isinstance(mark, Points) and len(mark.said) == 1 < mark.n:
            return [f"{mark.said[0]}: {', '.join(f'{one:.3g}' for one in mark.y)}"]
        said = list(mark.said) or list(self._coordinates(mark))
        beside = [f"{mark.name}: " if mark.name and mark.name not in one else "" for one in said]
        return [f"{name}{one}" for name, one in zip(beside, said, strict=True)]

    def _coordinates(self, mark: Points | Bars) -> Iterator[str]:
        if isinstance(mark, Bars):
            axis = self.y if mark.across else self.x
            ends = zip(mark.at, mark.values, strict=True)
            yield from (f"{axis.named(at)}: {value:.3g}" for at, value in ends)
        else:
            ends = zip(mark.x, mark.y, strict=True)
            yield from (f"{self.x.named(x)}, {self.y.named(y)}" for x, y in ends)

    @property
    def described(self) -> str:
        """The figure in a sentence or two for those who do not see it; its numbers are in tables."""
        axes = [
            f"{side}: {printable(axis.title)}"
            for side, axis in (("across", self.x), ("upwards", self.y))
            if axis.title
        ]
        rows = [f"{len(self.y.names)} rows"] if self.y.names else []
        series = [
            f"{printable(mark.name)}: {mark.n} marks"
            for mark in self.marks
            if isinstance(mark, Points | Bars) and mark.name
        ]
        said = [*axes, *rows, *series]
        return f"{'; '.join(said)}." if said else ""

    def _add(self, mark: Mark) -> None:
        numbers = (
            [*mark.x, *mark.y]
            if isinstance(mark, Points)
            else [*mark.values]
            if isinstance(mark, Bars | Box)
            else []
        )
        assert all(map(isfinite, numbers)), f"a mark that is nowhere: {mark}"
        self.marks.append(mark)
