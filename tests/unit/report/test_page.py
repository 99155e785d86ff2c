"""The page of a full run, and of runs in which something is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sae_audit.record.run import Run
from sae_audit.report.page import figures, render, summary, write_page
from tests.unit.report.synthetic import Shape, synthetic_run
from tests.unit.report.visible import Page

HOSTILE = '<script>alert(1)</script><a href="https://example.org">x</a>'


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return synthetic_run(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def page(full: Run) -> Page:
    return Page(render(full))


def page_of(tmp_path: Path, shape: Shape) -> Page:
    return Page(render(synthetic_run(tmp_path, shape)))


def test_one_file_is_written_and_twice_the_same(full: Run):
    before = {path.name for path in full.folder.iterdir()}
    first = write_page(full).read_bytes()
    assert {path.name for path in full.folder.iterdir()} - before == {"index.html"}
    assert write_page(Run(full.folder)).read_bytes() == first


def test_nothing_is_loaded(page: Page):
    loading = {"link", "img", "iframe", "object", "embed", "video", "audio", "source", "base"}
    assert not [tag for tag, _ in page.elements if tag in loading]
    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    for tag, attributes in page.elements:
        target = attributes.get("href")
        assert target is None or (tag == "a" and target.startswith(("#", "https://arxiv.org/abs/")))


def test_every_figure_has_its_place_and_every_place_its_figure(full: Run, page: Page):
    places = [a["data-figure"] for _, a in page.elements if "data-figure" in a]
    assert sorted(filter(None, places)) == sorted(figures(full))


def test_every_section_is_in_the_navigation(page: Page):
    sections = [a["id"] for tag, a in page.elements if tag == "section"]
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert [f"#{section}" for section in sections] == links[: len(sections)]


def test_certificates_are_the_records(full: Run, page: Page):
    for found in full.minimal_sets:
        for feature, score in found.score_without.items():
            assert f"{feature} | {score:+.3f} |" in page.text


def test_estimates_are_the_records_with_their_n(full: Run, page: Page):
    assert full.pooled_set is not None
    held_out = full.pooled_set.flipped_held_out
    assert f"{held_out.value:.0%} [{held_out.low:.0%}, {held_out.high:.0%}]" in page.text
    for one in full.controls.collateral:
        kl = one.kl
        assert f"{kl.value:.3f} [{kl.low:.3f}, {kl.high:.3f}]" in page.text
    for sae in full.manifest.saes:
        assert sae.sha256[:12] in page.text


def test_saes_are_named_with_repository_and_commit(full: Run, page: Page):
    (sae, *_) = full.manifest.saes
    assert f"From {sae.release} ({sae.repository} at commit {sae.revision})." in page.text


def test_figures_draw_the_records_numbers(full: Run):
    drawn = json.loads(figures(full)["minimal_scores"].to_json() or "")
    series = {trace.get("name"): trace for trace in drawn["data"]}
    ablated = dict(
        zip(series["minimal set ablated"]["y"], series["minimal set ablated"]["x"], strict=True)
    )
    flipped = {m.prompt_id: m.ablated_score for m in full.minimal_sets if m.flipped}
    assert ablated == flipped


def test_the_summary_is_in_the_page(full: Run, page: Page):
    rows = summary(full)
    assert len(rows) == 13
    for row in rows:
        for cell in (row.question, row.answer, row.control):
            assert cell in page.text


def test_other_minimal_sets_are_counted_with_their_proviso(full: Run, page: Page):
    sizes = [len(found.sets) for found in full.minimal_set_families]
    assert max(sizes) == 4
    assert "a median of 2 [1, 4] minimal sets was found (at most 4)" in page.text
    assert "5 of 9 lists are complete (no + in the table below), provided that" in page.text
    assert "no scored set contradicts that" in page.text
    assert "On 0% [0%, 30%] of the prompts (Wilson 95%) no feature is in every set" in page.text
    last = full.minimal_set_families[3].sets[-1]
    assert "; " + " ".join(map(str, last.features)) in page.text, "other sets are listed"
    drawn = json.loads(figures(full)["family_sizes"].to_json() or "")["data"][0]
    assert dict(zip(drawn["x"], drawn["y"], strict=True)) == {1: 3, 2: 2, 3: 2, 4: 2}


def test_doses_stand_beside_random_sets_at_the_same(full: Run, page: Page):
    assert all(found.certified for found in full.doses if found.dose is not None)
    own, overshot = full.controls.doses
    assert own.mean is not None
    assert f"{own.mean.value:.3f} (all cases alike)" in page.text
    assert overshot.flipped.value == pytest.approx(1 / 3), "one of three at odd places"
    assert "33% [6%, 79%] of 3 prompts that ablating them does not" in page.text
    assert "2.500" in page.text
    assert "> 4" in page.text, "what no dose flips"


def test_a_hostile_id_is_text_and_nothing_else(tmp_path: Path):
    run = synthetic_run(tmp_path, Shape(prompt_id=HOSTILE))
    written = render(run)
    assert HOSTILE in Page(written).text
    assert "<script>alert" not in written
    # plotly writes `<` as an escape of JSON; decoded, it is what plotly.js reads as a tag.
    drawn = str([json.loads(figure.to_json() or "") for figure in figures(run).values()])
    assert "alert(1)" in drawn
    assert "<a " not in drawn
    assert "<script" not in drawn


def test_nothing_flipped(tmp_path: Path):
    text = page_of(tmp_path, Shape(flipped=0)).text
    assert "0 of 12 refused prompts were flipped" in text
    for sentence in (
        "There are none: no prompt was flipped.",
        "Nothing was fitted: no prompt was flipped.",
        "No cascade was followed: no prompt was flipped.",
        "No prompt was flipped, so there is no set to hold controls against.",
        "Not measured: there is no pooled set.",
        "Not tried: no prompt was flipped.",
    ):
        assert sentence in text


def test_no_pooled_set(tmp_path: Path):
    text = page_of(tmp_path, Shape(pooled=False)).text
    assert "No pooled set: too few prompts were flipped" in text
    assert "No pooled fit: there is no pooled set." in text


def test_no_pairs_gives_the_reason(tmp_path: Path):
    text = page_of(tmp_path, Shape(pairs=False)).text
    assert "No fit: no mask moves the score." in text
    assert "No prompt could be fitted (9 tried)" in text


def test_no_compensation_ratio_gives_the_reason(tmp_path: Path):
    text = page_of(tmp_path, Shape(compensation=False)).text
    assert "9 of 9 prompts have no ratio" in text
    assert "no ratio: the direct effect is below 0.1" in text


def test_one_layer_and_no_categories(tmp_path: Path):
    text = page_of(tmp_path, Shape(layers=(3,), categories=False)).text
    assert "6 in 1 layer." in text
    assert "The prompts carry no categories." in text


def test_the_report_needs_no_model_library():
    code = (
        "import sys, sae_audit.report.page; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'sae_lens')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
