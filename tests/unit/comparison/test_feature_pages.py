"""Features that a comparison names lead to the page of a run, where it has one and is near."""

from pathlib import Path

import pytest

from sae_audit import compare, write_comparison
from sae_audit.comparison.feature_pages import addresses
from sae_audit.comparison.several import write_comparisons
from sae_audit.record.run import Run
from sae_audit.report.page import write_page
from tests.synthetic.findings import A, B, C
from tests.unit.comparison.decided import pair
from tests.visible import Page, rows_of

Runs = tuple[Run, Run]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """In a folder whose name needs quoting; the parent alone has a page."""
    found = pair(tmp_path / "my runs")
    write_page(found[0])
    return found


def links(page: Path) -> set[str]:
    return {str(found["href"]) for tag, found in Page(page.read_text()).elements if tag == "a"}


def test_each_feature_leads_to_where_it_can_be_read(runs: Runs, tmp_path: Path):
    parent, variant = runs
    page = write_comparison(
        compare(parent, variant), tmp_path / "out", [parent.folder, variant.folder]
    )
    there = f"../my%20runs/parent/index.html#{A}"
    assert there in links(page)
    assert f'<a href="{there}">{A}</a>, in all' in page.read_text(), "on the first screen"
    assert f'<td class="mono"><a href="{there}">{A}</a></td>' in page.read_text(), "in the table"
    target = (parent.folder / "index.html").read_text()
    assert f'id="{A}"' in target


def test_the_parents_page_comes_first_and_the_variants_has_the_rest(runs: Runs, tmp_path: Path):
    parent, variant = runs
    write_page(variant)
    for run, own in ((parent, A), (variant, C)):
        page = run.folder / "index.html"
        page.write_text(f'<i id="{own}"></i><i id="{B}"></i>')
    found = addresses([parent.folder, variant.folder], tmp_path / "out")
    assert {one: place.split("/")[2] for one, place in found.items()} == {
        str(A): "parent",
        str(B): "parent",
        str(C): "variant",
    }


def test_without_a_page_or_far_away_nothing_is_linked(runs: Runs, tmp_path: Path):
    parent, variant = runs
    assert addresses([variant.folder], tmp_path / "out") == {}, "no page"
    assert addresses([parent.folder], tmp_path / "a" / "b" / "c") == {}, "three folders up"
    assert addresses([parent.folder], tmp_path / "a" / "b")
    page = write_comparison(compare(parent, variant), tmp_path / "out")
    assert all(link.startswith("#") for link in links(page))


def test_several_variants_lead_there_too(runs: Runs, tmp_path: Path):
    parent, variant = runs
    found = [compare(parent, variant)] * 2
    page = write_comparisons(
        found, [parent.folder, variant.folder, variant.folder], tmp_path / "out"
    )
    assert f"../../my%20runs/parent/index.html#{A}" in links(
        page.parent / "2-variant" / "index.html"
    )


def test_the_table_says_what_each_feature_was_and_is(runs: Runs, tmp_path: Path):
    found = compare(*runs)
    text = Page(write_comparison(found, tmp_path / "out").read_text()).text
    role = next(one for one in found.decision.roles if one.feature == A)
    assert role.after == 0 < role.before
    ((before, after, *_, new),) = rows_of(text, str(A))
    assert (before, after) == (str(role.before), "0")
    assert new == f"{C} ({role.before})"
