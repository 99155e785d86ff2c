"""The page as a file: whole, self-contained, the same each time, and safe with strings from outside."""

import re
import subprocess
import sys
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

from sae_audit.findings.stages import POOLED
from sae_audit.pages.charts import Points
from sae_audit.record.run import Run
from sae_audit.report.chapters import CHAPTERS
from sae_audit.report.page import SECTIONS, figures, render, summary, write_page
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import A, cascade, family, graph, minimal, prompt_scores
from tests.synthetic.runs import synthetic_run
from tests.visible import Page

HOSTILE = '<script>alert(1)</script><a href="https://example.org">x</a>'


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page(render(run))


def test_one_file_is_written_and_twice_the_same(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    before = {path.name for path in run.folder.iterdir()}
    first = write_page(run).read_bytes()
    assert {path.name for path in run.folder.iterdir()} - before == {"index.html"}
    assert write_page(Run(run.folder)).read_bytes() == first


def test_nothing_is_loaded(page: Page):
    loading = {"link", "img", "iframe", "object", "embed", "video", "audio", "source", "base"}
    loading |= {"image", "use", "foreignobject"}
    assert not [tag for tag, _ in page.elements if tag in loading]
    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    for tag, attributes in page.elements:
        target = attributes.get("href")
        outside = ("#", "https://arxiv.org/abs/", "https://www.neuronpedia.org/")
        assert target is None or (tag == "a" and target.startswith(outside))
    assert "<style" in page.written
    assert all("@import" not in style and "url(" not in style for style in page.styles)


def test_every_figure_has_its_place_and_every_place_its_figure(run: Run, page: Page):
    drawn = [a["id"] for tag, a in page.elements if tag == "figure"]
    assert sorted(filter(None, drawn)) == sorted(f"figure-{name}" for name in figures(run))
    labelled = [a for tag, a in page.elements if tag == "svg" and a.get("role") == "img"]
    assert len([a for a in labelled if a.get("class") == "chart"]) == len(drawn)
    assert all(attributes["aria-label"] for attributes in labelled)


def test_every_section_is_there_and_in_the_navigation(page: Page):
    skip, *links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert skip == "#content"
    parts = ["summary", *(one.id for one in CHAPTERS), "all_findings"]
    assert set(page.sections) == {*parts, *(section.id for section in SECTIONS)}
    assert [one for one in page.sections if one in parts] == parts
    assert [f"#{part}" for part in parts] == links[: len(parts)]


def test_the_summary_is_in_the_page_row_by_row(run: Run, page: Page):
    rows = summary(run)
    assert len({row.question for row in rows}) == len(rows) > 1
    for row in rows:
        assert f"{row.question}\n{row.meaning} | {row.answer} | {row.control} |" in page.text


def test_figures_draw_the_records_numbers(run: Run):
    chart = figures(run)["minimal_scores"]
    (drawn,) = chart.series("minimal set ablated")
    assert isinstance(drawn, Points)
    ablated = {chart.y.names[int(y)]: x for x, y in zip(drawn.x, drawn.y, strict=True)}
    assert ablated == {m.prompt_id: m.ablated_score for m in run.minimal_sets if m.flipped}


def test_a_hostile_id_is_text_and_nothing_else(tmp_path: Path):
    (first, *others) = prompt_scores([4.0, 3.0], [-5.0])
    scores = [replace(first, prompt_id=HOSTILE), *others]
    sets = [minimal(HOSTILE, A), minimal("p1")]
    run = synthetic_run(
        tmp_path / "run", scores=scores, minimal_sets=sets, facts={"model": f"{HOSTILE} model"}
    )
    page = Page(render(run))
    assert f"\n{HOSTILE} | " in page.text
    assert f"\nRefusal audit of {HOSTILE} model\n" in page.text
    assert not re.search(r"<script>alert|<a href=.https://example", page.written)
    # Figures name it too, as a label and on hover.
    assert any(HOSTILE in said for figure in figures(run).values() for said in figure.said)
    assert f"<title>{escape(HOSTILE, quote=False)}" in page.written


@pytest.mark.slow
def test_a_page_of_500_refused_prompts_has_less_than_10_megabytes(tmp_path: Path):
    """All of it: 300 features in the sets, each with a block of its own, six other sets a prompt."""
    ids = [f"harmful-{i:04d}" for i in range(500)]
    features = [type(A)(layer=1 + i % 2, index=3 + i) for i in range(300)]

    def some(i: int, n: int) -> tuple[FeatureId, ...]:
        return tuple(
            dict.fromkeys([features[0], *(features[(i * 7 + k * 13) % 300] for k in range(n))])
        )

    sets = [minimal(one, *some(i, 1 + i % 4)) for i, one in enumerate(ids)]
    scores = prompt_scores([4.0 + i / 500 for i in range(500)], [-5.0] * 500, category="fraud")
    run = synthetic_run(
        tmp_path / "run",
        scores=[
            replace(one, prompt_id=ids[i]) if one.label == "harmful" else one
            for i, one in enumerate(scores)
        ],
        minimal_sets=sets,
        cascades=[cascade(one, *some(i, 3)[:3]) for i, one in enumerate(ids)],
        graphs=[graph(one) for one in (*ids, POOLED)],
        found={"minimal_set_families": [family(one, n_others=6) for one in sets]},
    )
    page = render(run)
    assert page.count('<details class="feature">') >= 300
    assert page.count("<summary>certificate</summary>") == 500
    assert 2_000_000 < len(page.encode()) < 10_000_000


@pytest.mark.parametrize("room", ["report.page", "comparison", "record.run"])
def test_no_model_library_is_needed(room: str):
    code = (
        f"import sys, sae_audit.{room}; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'sae_lens')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
