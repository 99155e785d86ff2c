"""Charts and their SVG: what strangers wrote is text, colours are the page's, nothing is lost."""

import re
from itertools import pairwise
from math import inf
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from sae_audit.pages.charts import (
    COLOURS,
    DOTTED,
    HARMFUL,
    HARMLESS,
    MUTED,
    OWN,
    PAPER,
    Axis,
    Chart,
    Scale,
    Span,
)
from sae_audit.pages.document import document
from sae_audit.pages.drawing import WIDTH, figure_html, palette_css

HOSTILE = '</svg></script><b onclick="x">$\\frac{x\u202ey\x1b[2J'
SHOWN = HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")


def parsed(chart: Chart, title: str = "A figure") -> ElementTree.Element:
    """The drawing; well-formed, or this fails."""
    written = figure_html(chart, title)
    return ElementTree.fromstring(f"<div>{written}</div>")


def drawing(chart: Chart) -> ElementTree.Element:
    (found,) = parsed(chart).iterfind("svg[@role='img']")
    return found


def texts(element: ElementTree.Element, tag: str) -> list[str]:
    return [one.text or "" for one in element.iter(tag)]


def ends(path: str) -> list[tuple[float, float]]:
    """Corners of a path of straight lines, from its relative steps."""
    x = y = 0.0
    corners = []
    for step, numbers in re.findall(r"([Mlhvz])([-. \d]*)", path):
        values = [float(one) for one in re.findall(r"-?[\d.]+", numbers)]
        if step == "M":
            x, y = values
        elif step == "l":
            x, y = x + values[0], y + values[1]
        elif step == "h":
            x += values[0]
        elif step == "v":
            y += values[0]
        corners.append((x, y))
    return corners


def every_mark() -> Chart:
    """A chart with each kind of mark and colour."""
    rows = ("one", "two", "three")
    chart = Chart(x=Axis("nats"), y=Axis(names=rows))
    chart.bars(
        rows, [1.0, -2.0, 3.0], colours=OWN, name="bars", written=["a", "b", "c"], across=True
    )
    chart.box([1.0, 2.0, 2.5, 9.0], "two")
    for i, symbol in enumerate(
        ("circle", "ring", "diamond", "diamond-ring", "square", "cross", "star", "none")
    ):
        chart.points(
            [0.1 * i, 1.0],
            ["one", "three"],
            colour=list(COLOURS)[i],
            name=symbol,
            said=["first", "second"],
            symbol=symbol,
            across=[Span(low=-0.5, high=2.0), Span(low=-inf, high=inf)],
            line=1,
            dash=DOTTED,
        )
    chart.rule(x=0.0)
    return chart


class TestWhatStrangersWrote:
    def chart(self) -> Chart:
        chart = Chart(
            x=Axis(HOSTILE),
            y=Axis(HOSTILE, names=[HOSTILE, "other"]),
            scale=Scale(ends=(HOSTILE, HOSTILE), colours=[(OWN, 0.0), (OWN, 1.0)]),
        )
        chart.points([1.0, 2.0], [HOSTILE, "other"], colour=OWN, name=HOSTILE, said=[HOSTILE, ""])
        chart.bars(["other"], [1.0], colours=OWN, across=True, said=[HOSTILE], written=[HOSTILE])
        return chart

    def test_it_is_text_in_every_place(self):
        found = parsed(self.chart(), HOSTILE)
        assert {one.tag for one in found.iter()} == {
            *("div", "ul", "li", "svg", "g", "path", "title", "text", "p", "details", "summary")
        }
        assert texts(found, "title") == [SHOWN, SHOWN]
        (image,) = found.iterfind("svg[@role='img']")
        assert image.attrib["aria-label"].startswith(f"{SHOWN}. across: {SHOWN}; upwards: {SHOWN};")
        written = [text for text in texts(image, "text") if text.startswith("</svg>")]
        # Its axes' titles, a bar's text, and a row's name, which is cut.
        (cut,) = [text for text in written if text.endswith("…")]
        assert SHOWN.startswith(cut.removesuffix("…"))
        assert [text for text in written if text != cut] == [SHOWN] * 3

    def test_it_is_a_title_of_every_printed_page(self):
        menu = {"verdicts": HOSTILE}
        page = document("tests.unit", "hostile.html.j2", {}, menu=menu, said=HOSTILE)
        assert page.count("<b onclick") == 0
        (style,) = re.findall(r"<style>(.*?)</style>", page, re.S)
        (title,) = re.findall(r'@top-left \{ content: "(.*?)"', style)
        spelled = re.sub(r"\\([0-9a-f]{6})", lambda m: chr(int(m[1], 16)), title)
        assert spelled == SHOWN
        assert re.fullmatch(r"[a-zA-Z0-9 \\]*", title)


class TestADrawing:
    def test_every_mark_is_drawn_in_its_place_with_what_it_says(self):
        chart = Chart(x=Axis(limits=(0.0, 10.0)), y=Axis(names=["a", "b"]), row=30)
        chart.points(
            [0.0, 5.0, 10.0], ["a", "b", "a"], colour=OWN, said=["0", "5", "10"], symbol="square"
        )
        found = drawing(chart)
        marks = [one for one in found.iter("path") if one.find("title") is not None]
        assert [texts(one, "title") for one in marks] == [["0"], ["5"], ["10"]]
        centres = []
        for one in marks:
            corners = ends(one.attrib["d"])
            xs, ys = zip(*corners, strict=True)
            centres.append(((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2))
        (x0, y0), (x1, y1), (x2, y2) = centres
        assert x1 - x0 == pytest.approx(x2 - x1, abs=0.15)
        assert x2 - x0 > WIDTH / 2
        assert (y0, y1 - y0) == (y2, pytest.approx(30, abs=0.15))

    def test_a_bar_is_as_long_as_its_value(self):
        chart = Chart(x=Axis("n", from_zero=True), y=Axis(names=["a", "b"]))
        chart.bars(["a", "b"], [1.0, 3.0], colours=OWN, said=["a: 1", "b: 3"], across=True)
        lengths = []
        for one in drawing(chart).iter("path"):
            if one.find("title") is not None:
                xs, _ = zip(*ends(one.attrib["d"]), strict=True)
                lengths.append(max(xs) - min(xs))
        assert lengths[1] == pytest.approx(3 * lengths[0], abs=0.4)

    def test_marks_lie_above_the_grid_in_the_order_in_which_they_were_added(self):
        chart = Chart(x=Axis("n"), y=Axis("n"), height=100)
        chart.bars([0.0], [1.0], colours=HARMFUL)
        chart.points([0.0, 1.0], [0.0, 1.0], colour=OWN, symbol="none", line=1)
        chart.points([0.5], [0.5], colour=HARMLESS)
        chart.rule(x=0.2)
        looks = [one.attrib["class"] for one in drawing(chart).iterfind("g")]
        assert looks == ["s-grid", "f-harmful", "s-own", "f-harmless", "s-muted", "f-slate"]

    def test_an_interval_that_excludes_nothing_reaches_the_edges_and_no_further(self):
        chart = Chart(x=Axis(limits=(0.0, 1.0)), y=Axis(names=["a"]))
        chart.points([0.5], ["a"], colour=HARMFUL, across=[Span(low=-inf, high=inf)])
        found = drawing(chart)
        (group,) = (g for g in found.iter("g") if "s-harmful" in g.attrib["class"])
        (line,) = group
        (left, _), (right, _) = ends(line.attrib["d"])
        assert 0 < left < WIDTH / 4
        assert WIDTH * 3 / 4 < right < WIDTH

    def test_each_kind_of_mark_can_be_drawn(self):
        found = parsed(every_mark())
        assert len(found.findall(".//ul[@class='key']/li")) == 9
        assert len(found.findall(".//details[@class='numbers']//li")) > 9
        assert texts(found, "title").count("second") == 7
        assert "NaN" not in figure_html(every_mark(), "")

    def test_nothing_lies_outside(self):
        found = drawing(every_mark())
        _, _, width, height = map(float, found.attrib["viewBox"].split())
        for path in found.iter("path"):
            if "a" not in path.attrib["d"]:
                for x, y in ends(path.attrib["d"]):
                    assert -1 <= x <= width + 1
                    assert -1 <= y <= height + 1

    def test_it_is_the_same_text_each_time_whatever_a_user_has_set(self):
        first = figure_html(every_mark(), "A")
        with mpl.rc_context({"axes.grid": True, "lines.linewidth": 9, "font.size": 30}):
            assert figure_html(every_mark(), "A") == first

    def test_ticks_of_a_logarithmic_axis_are_powers(self):
        chart = Chart(x=Axis("KL", log=True), y=Axis("n"), height=100)
        chart.points([1e-4, 1.0], [0.0, 1.0], colour=OWN)
        assert {"0.0001", "0.01", "1"} <= set(texts(drawing(chart), "text"))

    @pytest.mark.parametrize(
        ("axis", "values", "written"),
        [
            (Axis(shares=True), [0.2, 0.7], ["0%", "25%", "50%", "75%", "100%"]),
            (Axis(), [-4.0, 4.0], ["\N{MINUS SIGN}4", "\N{MINUS SIGN}2", "0", "2", "4"]),
            (Axis(whole=True, from_zero=True), [1.0, 3.0], ["0", "1", "2", "3"]),
            (Axis(log=True, ticks=[1, 4, 16]), [1.0, 16.0], ["1", "4", "16"]),
        ],
    )
    def test_ticks_are_round_numbers(self, axis: Axis, values: list[float], written: list[str]):
        chart = Chart(x=axis, y=Axis(names=["row"]))
        chart.points(values, ["row"] * len(values), colour=OWN)
        assert texts(drawing(chart), "text") == [*written, "row"]

    @pytest.mark.filterwarnings("error")
    def test_letters_of_every_script_are_written(self):
        chart = Chart(x=Axis("分数"), y=Axis(names=["暴力", "ยาเสพติด"]))
        chart.points([1.0, 2.0], ["暴力", "ยาเสพติด"], colour=OWN)
        assert {"分数", "暴力", "ยาเสพติด"} <= set(texts(drawing(chart), "text"))

    def test_names_that_do_not_fit_side_by_side_are_turned(self):
        def turned(names: list[str]) -> bool:
            chart = Chart(x=Axis(names=names), y=Axis(names=["row"]))
            for name in names:
                chart.cell(name, "row", colour=OWN, strength=0.5)
            return any("transform" in one.attrib for one in drawing(chart).iter("text"))

        assert not turned(["1", "2", "3"])
        assert turned([f"L{i}/12345" for i in range(16)])

    def test_strength_is_opacity(self):
        chart = Chart(x=Axis(names=["a", "b", "c"]), y=Axis(names=["row"]))
        for name, strength in (("a", 0.0), ("b", 0.5), ("c", 1.0)):
            chart.cell(name, "row", colour=OWN, strength=strength)
        shown = [
            float(g.attrib["fill-opacity"])
            for g in drawing(chart).iter("g")
            if "fill-opacity" in g.attrib
        ]
        assert len(shown) == 3
        assert all(a < b for a, b in pairwise(shown))


class TestColours:
    def luminance(self, colour: str) -> float:
        """Relative luminance of WCAG 2.2."""
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(self, name: str, dark: int) -> float:
        own, paper = (self.luminance(COLOURS[one][dark]) for one in (name, PAPER))
        return (max(own, paper) + 0.05) / (min(own, paper) + 0.05)

    @pytest.mark.parametrize("dark", [0, 1])
    def test_marks_stand_out_from_the_paper_and_letters_can_be_read(self, dark: int):
        for name in COLOURS.keys() - {PAPER, "grid"}:
            assert self.contrast(name, dark) >= 3.0, name
        for name in ("slate", "ink"):
            assert self.contrast(name, dark) >= 4.5, name
        # And the measure can fail: a grid is meant to be faint.
        assert self.contrast("grid", dark) < 3.0

    def test_the_page_sets_each_of_them_and_a_drawing_has_no_other(self):
        style = palette_css()
        written = figure_html(every_mark(), "")
        used = set(re.findall(r"\b[fs]-[a-z]+", written))
        assert used
        assert all(f".{one} {{" in style for one in used)
        lights = {light for light, _ in COLOURS.values()}
        assert set(re.findall(r"#[0-9a-f]{6}", written)) <= lights

    def test_light_ones_are_apart_from_each_other(self):
        assert len({light for light, _ in COLOURS.values()}) == len(COLOURS)


class TestDescribed:
    def test_axes_rows_and_series_are_told(self):
        chart = Chart(x=Axis("share refused"), y=Axis(names=["a", "b"]))
        chart.points([0.1, 0.2], ["a", "b"], colour=HARMFUL, name="harmful")
        chart.bars(["a"], [0.2], colours=HARMLESS, name="harmless", across=True)
        assert chart.described == (
            "across: share refused; 2 rows; harmful: 2 marks; harmless: 1 marks."
        )

    def test_a_mark_that_is_nowhere_is_a_fault(self):
        chart = Chart(x=Axis(), y=Axis(), height=10)
        with pytest.raises(AssertionError, match="nowhere"):
            chart.points([float("nan")], [1.0], colour=MUTED)
        with pytest.raises(ValueError, match="index"):
            chart.points(["no such name"], [1.0], colour=MUTED)
