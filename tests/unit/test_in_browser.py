"""Pages in a browser: quiet, offline, usable by keyboard, on phones, on paper, without script.

Needs Chromium (Debian: `apt install chromium`); without it these tests are skipped.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from sae_audit import compare
from sae_audit.bench.page import render as render_bench
from sae_audit.comparison.page import render as render_comparison
from sae_audit.record.feature import parsed
from sae_audit.record.run import load_run
from sae_audit.report.feature_page import render_feature
from sae_audit.report.page import render
from tests.synthetic.bench import bench_result
from tests.synthetic.findings import A, B, C, minimal, prompt_scores
from tests.synthetic.runs import synthetic_run

_SAMPLE = Path(__file__).parents[2] / "reports" / "sample-organism"
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
_LARGEST = 1_000_000
"""Bytes of a report on 40 refused prompts."""
_WIDTHS = (1400, 800, 390)
PAGES = ("report", "comparison", "feature", "bench")
WITH_FIGURES = ("report", "comparison", "bench")

pytestmark = pytest.mark.skipif(
    _CHROMIUM is None, reason="no chromium on this machine: apt install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of the pages, by name."""
    folder = tmp_path_factory.mktemp("pages")
    ids = [f"p{i}" for i in range(10)]
    a = synthetic_run(
        folder / "a",
        scores=prompt_scores([5.0 + i / 8 for i in range(10)], [-6.0] * 10),
        minimal_sets=[minimal(one, A, B) for one in ids],
    )
    b = synthetic_run(
        folder / "b",
        scores=prompt_scores([4.0 - i / 2 for i in range(10)], [-5.5] * 10),
        minimal_sets=[minimal(one, A, C) for one in ids[:8]],
        first=7001,
    )
    written = {
        "report": render(load_run(_SAMPLE)),
        "comparison": render_comparison(compare(a, b)),
        "feature": render_feature(load_run(_SAMPLE), parsed("L2/554")),
        "bench": render_bench(bench_result()),
    }
    for name, page in written.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in written}


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Of a wide screen, on paper that is white."""
    found = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme="light")
    found.grant_permissions(["clipboard-read", "clipboard-write"])
    yield found
    found.close()


@pytest.fixture(scope="module")
def report(context: BrowserContext, urls: dict[str, str]) -> Iterator[Page]:
    """The report, opened once; tests leave it as they find it."""
    page = context.new_page()
    page.goto(urls["report"])
    yield page
    page.close()


@pytest.fixture
def opened(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    yield page
    page.close()


def until(page: Page, condition: str) -> None:
    """Wait up to five seconds; playwright's own waiting evaluates text, which the pages forbid."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def test_the_report_of_the_sample_is_small(urls: dict[str, str]):
    assert Path(urls["report"].removeprefix("file://")).stat().st_size < _LARGEST


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_and_complains_of_nothing(
    name: str, urls: dict[str, str], opened: Page
):
    asked: list[str] = []
    said: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(urls[name])
    opened.mouse.wheel(0, 5000)
    assert asked == [urls[name]]
    assert said == []
    # A page that wants to load or run something is not let.
    opened.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"https://x.org/y\">')"
    )
    opened.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))"
    )
    assert len([one for one in said if "Content Security Policy" in one]) == 2


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", _WIDTHS)
def test_no_page_scrolls_sideways(name: str, width: int, urls: dict[str, str], opened: Page):
    opened.set_viewport_size({"width": width, "height": 900})
    opened.goto(urls[name])
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_axe_finds_nothing(name: str, width: int, scheme: Any, urls: dict[str, str], opened: Page):
    opened.set_viewport_size({"width": width, "height": 900})
    opened.emulate_media(color_scheme=scheme)
    opened.goto(urls[name])
    # Rows of a table are made alike, and a few of each are enough.
    opened.evaluate(
        """for (const table of document.querySelectorAll("table"))
        [...table.tBodies[0].rows].slice(2).forEach(row => row.remove())"""
    )
    found = Axe().run(opened)
    assert [one["id"] for one in found.response["violations"]] == [], found.generate_report()


def test_axe_would_find_something(urls: dict[str, str], opened: Page):
    opened.goto(urls["comparison"])
    opened.evaluate("document.querySelector('svg.chart').removeAttribute('aria-label')")
    opened.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<h6>x</h6>')")
    found = {one["id"] for one in Axe().run(opened).response["violations"]}
    assert {"svg-img-alt", "heading-order"} <= found


def unfold(page: Page) -> None:
    """Open every folded part, and wait until the page has seen that."""
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.evaluate("new Promise(done => setTimeout(done, 300))")


@pytest.mark.parametrize("name", PAGES)
def test_no_table_scrolls_sideways_on_a_wide_screen(name: str, urls: dict[str, str], opened: Page):
    opened.set_viewport_size({"width": 1400, "height": 900})
    opened.goto(urls[name])
    unfold(opened)
    wide = opened.evaluate(
        """[...document.querySelectorAll(".scroll")]
        .filter(area => area.scrollWidth > area.clientWidth + 1)
        .map(area => [area.getAttribute("aria-label"), area.scrollWidth])"""
    )
    assert wide == []


class TestNumbersOfFigures:
    @pytest.mark.parametrize("name", WITH_FIGURES)
    def test_each_figure_has_all_that_hovering_says_below_it(
        self, name: str, urls: dict[str, str], opened: Page
    ):
        opened.goto(urls[name])
        missing = opened.evaluate(
            """[...document.querySelectorAll("figure")].flatMap(figure => {
            const below = figure.querySelector("details.numbers")?.textContent ?? "";
            return [...figure.querySelectorAll("svg.chart title")].map(title => title.textContent)
              .filter(said => !below.includes(said))})"""
        )
        assert missing == []
        assert opened.locator("figure").count() == opened.locator("details.numbers").count()

    def test_they_are_reached_and_unfolded_by_keyboard(self, urls: dict[str, str], opened: Page):
        opened.goto(urls["report"])
        folded = opened.locator("#holds > figure details.numbers")
        assert not folded.locator("li").first.is_visible()
        folded.locator("summary").focus()
        opened.keyboard.press("Enter")
        folded.locator("li").first.wait_for(state="visible")
        assert "L2/554" in folded.inner_text()


class TestTables:
    TABLE = "table.sortable:has(caption:text-is('Every refused prompt'))"

    def column(self, page: Page, number: int) -> list[str]:
        cells = f"{self.TABLE} > tbody > tr:visible > td:nth-child({number})"
        return page.locator(cells).all_inner_texts()

    def test_only_heads_of_columns_sort_and_they_sort_by_value(self, report: Page):
        unfold(report)
        table = report.locator(self.TABLE)
        heads = table.locator("> thead th")
        assert table.locator("button").count() == heads.count() == 10
        assert table.locator("tbody th").count() > 0
        head = heads.nth(2)
        head.locator("button").click()
        rising = [float(one) for one in self.column(report, 3)]
        assert rising == sorted(rising)
        assert head.get_attribute("aria-sort") == "ascending"
        head.locator("button").press("Enter")
        assert [float(one) for one in self.column(report, 3)] == rising[::-1]
        assert head.get_attribute("aria-sort") == "descending"
        heads.nth(0).locator("button").press("Space")
        assert head.get_attribute("aria-sort") is None
        assert self.column(report, 1) == sorted(self.column(report, 1))

    def test_rows_are_filtered_by_words_and_copied_as_they_are_shown(self, report: Page):
        unfold(report)
        filter_ = report.get_by_label("Filter rows: Every refused prompt")
        filter_.fill("violence L2/554")
        n = len(self.column(report, 1))
        assert 0 < n < 40
        assert set(self.column(report, 2)) == {"violence"}
        tools = report.locator(".tools", has=filter_)
        assert tools.locator("output").inner_text() == f"{n} of 40 rows"
        report.get_by_label("Copy as CSV: Every refused prompt").click()
        tools.get_by_text("Copied").wait_for()
        rows = report.evaluate("navigator.clipboard.readText()").splitlines()
        assert rows[0].startswith("prompt,category,untouched,")
        assert [row.split(",")[0] for row in rows[1:]] == self.column(report, 1)
        assert "certificate" not in rows[1]
        filter_.fill("")
        assert len(self.column(report, 1)) == 40

    def test_a_cell_that_a_spreadsheet_would_compute_is_copied_as_text(
        self, urls: dict[str, str], opened: Page
    ):
        opened.goto(urls["comparison"])
        opened.evaluate(
            "document.querySelector('table.sortable td').textContent = '=HYPERLINK(1,\"x\")'"
        )
        opened.locator("details:has(table.sortable) > summary").first.click()
        opened.get_by_text("Copy as CSV").first.click()
        opened.get_by_text("Copied").wait_for()
        copied = opened.evaluate("navigator.clipboard.readText()").splitlines()
        assert copied[1].startswith('"\'=HYPERLINK(1,""x"")",')


class TestLinks:
    @pytest.mark.parametrize("name", PAGES)
    def test_each_has_its_target(self, name: str, urls: dict[str, str], opened: Page):
        opened.goto(urls[name])
        ids = set(opened.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)"))
        links = opened.evaluate(
            "[...document.querySelectorAll('a[href^=\"#\"]')].map(one => one.hash)"
        )
        assert links
        assert {link.removeprefix("#") for link in links} <= ids

    def test_one_into_a_folded_part_unfolds_it(self, urls: dict[str, str], opened: Page):
        opened.goto(urls["comparison"])
        opened.evaluate("document.querySelector('details p').id = 'L2/554'")
        assert not opened.locator("details p").first.is_visible()
        opened.evaluate("location.hash = '#L2/554'")
        opened.locator("details p").first.wait_for(state="visible")


class TestKeyboard:
    def test_the_first_stop_skips_the_menu(self, urls: dict[str, str], opened: Page):
        opened.goto(urls["report"])
        opened.keyboard.press("Tab")
        assert opened.evaluate("document.activeElement.textContent") == "Skip to the content"
        until(opened, "document.activeElement.getBoundingClientRect().top >= 0")
        opened.keyboard.press("Enter")
        assert opened.evaluate("document.activeElement.id") == "content"

    def test_an_area_is_a_stop_if_and_only_if_it_scrolls(self, urls: dict[str, str], opened: Page):
        opened.set_viewport_size({"width": 390, "height": 900})
        opened.goto(urls["report"])
        unfold(opened)
        areas = opened.evaluate(
            """[...document.querySelectorAll(".scroll")].filter(area => area.clientWidth).map(area => [
            area.scrollWidth > area.clientWidth + 1 || area.scrollHeight > area.clientHeight + 1,
            area.tabIndex === 0])"""
        )
        assert {scrolls for scrolls, _ in areas} == {True, False}
        assert all(scrolls == stops for scrolls, stops in areas)
        area = opened.locator(".scroll[tabindex='0']:has(> table)").first
        area.focus()
        opened.keyboard.press("ArrowRight")
        until(opened, "document.activeElement.scrollLeft > 0")


class TestWithoutScript:
    @pytest.mark.parametrize("name", WITH_FIGURES)
    def test_every_figure_and_table_is_there(
        self, name: str, urls: dict[str, str], browser: Browser
    ):
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(urls[name])
        charts = page.locator("svg.chart")
        assert charts.count() >= 4
        box = page.locator("svg.chart:visible").first.bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 50
        assert page.locator("th button").count() == page.locator(".tools").count() == 0
        assert page.locator(".scroll:not([tabindex='0'])").count() == 0
        context.close()


_CONTRASTS = """() => {
  const light = colour => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(one => one / 255);
    const [r, g, b] = parts.map(p => p <= 0.04045 ? p / 12.92 : ((p + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll("svg.chart text")].map(text => {
    const own = light(getComputedStyle(text).fill);
    return (Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05);
  });
}"""
"""Of each text of a figure with the page, as WCAG computes it; axe leaves SVG out."""


class TestColours:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_letters_of_figures_can_be_read(self, scheme: Any, report: Page):
        report.emulate_media(color_scheme=scheme)
        contrasts = report.evaluate(_CONTRASTS)
        report.emulate_media(color_scheme="light")
        assert len(contrasts) > 100
        assert min(contrasts) >= 4.5

    def test_letters_are_large_enough_on_a_phone(self, urls: dict[str, str], opened: Page):
        opened.set_viewport_size({"width": 390, "height": 900})
        opened.goto(urls["report"])
        heights = opened.evaluate(
            """[...document.querySelectorAll("svg.chart")].filter(chart => chart.clientWidth)
            .map(chart => parseFloat(getComputedStyle(chart.querySelector("text")).fontSize)
            * chart.clientWidth / chart.viewBox.baseVal.width)"""
        )
        assert min(heights) >= 10

    def test_paper_is_white_in_a_dark_room_too(self, report: Page):
        report.emulate_media(media="print", color_scheme="dark")
        assert (
            report.evaluate("getComputedStyle(document.body).backgroundColor")
            == "rgb(255, 255, 255)"
        )
        assert min(report.evaluate(_CONTRASTS)) >= 4.5
        report.emulate_media(media="screen", color_scheme="light")


class TestPrint:
    @pytest.fixture
    def printed(self, urls: dict[str, str], opened: Page) -> Page:
        """As wide as A4 between its margins, at 96 pixels an inch."""
        opened.set_viewport_size({"width": 688, "height": 1000})
        opened.goto(urls["report"])
        opened.emulate_media(media="print")
        return opened

    def test_heads_stay_above_their_tables_and_nothing_is_cut_off(self, printed: Page):
        positions = printed.evaluate(
            "[...document.querySelectorAll('thead th')].map(th => getComputedStyle(th).position)"
        )
        assert set(positions) == {"static"}
        wide = printed.evaluate(
            """[...document.querySelectorAll(".scroll:not(.wide) > table")]
            .filter(table => table.offsetWidth > table.parentElement.clientWidth + 1)
            .map(table => [table.caption.textContent, table.offsetWidth])"""
        )
        assert wide == []

    def test_what_is_folded_is_printed_and_tools_are_not(self, printed: Page):
        # What was skipped on the screen counts as seen from the next frame on.
        until(
            printed,
            """[...document.querySelectorAll(
            "details:not(td details, .numbers) > :not(summary, .tools)")]
            .every(part => part.checkVisibility({contentVisibilityAuto: true}))""",
        )
        for tool in ("nav", ".tools", ".skip"):
            assert not printed.locator(tool).first.is_visible()

    def test_it_becomes_a_pdf(self, urls: dict[str, str], opened: Page):
        opened.goto(urls["comparison"])
        assert opened.pdf(format="A4").startswith(b"%PDF")
        # Folded again behind.
        assert opened.locator("details[open]").count() == 0
