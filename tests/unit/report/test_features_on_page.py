"""Features on the page: an address for each, what is said there, and no prompt's words."""

import re
from pathlib import Path

import pytest

from sae_audit.findings import ActivationCounts
from sae_audit.record.run import Run
from sae_audit.report.feature_links import addresses, link
from sae_audit.report.findings.features.histogram import histogram
from sae_audit.report.page import render
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import A, B, C
from tests.synthetic.runs import synthetic_run
from tests.visible import Page, rows_of


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page(render(run))


def block(page: Page, feature: FeatureId) -> Page:
    """The folded part of one feature."""
    parts = re.findall(r'<details class="feature">.*?</details>', page.written, re.S)
    (own,) = (part for part in parts if f'<article id="{feature}"' in part)
    return Page(own)


def test_every_link_to_a_feature_leads_somewhere_and_every_address_is_one_place(
    run: Run, page: Page
):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(one) for one in addresses(run)} <= set(ids)
    targets = {
        (a["href"] or "")[1:]
        for tag, a in page.elements
        if tag == "a" and (a["href"] or "").startswith("#L")
    }
    assert targets
    assert targets <= set(ids)


def test_addresses_are_those_named_and_the_candidates(run: Run, tmp_path: Path):
    assert addresses(run) == {A, B, C}
    assert link(A) == '<a class="mono" href="#L1/3">L1/3</a>'
    nothing = synthetic_run(tmp_path / "run", flipped=False, graphs=[], cascades=[])
    assert addresses(nothing) == {A, B, C}, "as candidates"
    told = Page(render(nothing))
    assert "No finding names a feature." in told.text
    assert "The 3 candidates that no finding names" in told.text


def test_a_block_says_what_the_run_says(run: Run, page: Page):
    found, text = run.feature("L1/3"), block(page, A).text
    assert f"L1/3 {found.verdict}" in text
    for sentence in found.sentences:
        assert sentence in text
    for one in found.effects:
        assert rows_of(text, one.name) == [
            [one.turned, one.interval, one.random, one.change, one.change_random]
        ]
    assert "cosine 0.53 with the refusal direction, 1 of 3 candidates" in text
    assert "On 11 of 11 harmful prompts (74% to 100%) and 5 of 13 harmless ones" in text
    assert "Harmful topics: arson 4 of 6. Harmless topics: cooking 0 of 8." in text
    assert "p0 · token 18 of 23, chat template behind the text" in text
    assert re.search(r"Tokens that it raises: sorry", text)
    assert "it does not prove a use" in text
    assert "L2/5 each covers for the other" in text, "its partner"


def test_it_is_folded_and_its_address_is_inside_so_that_a_link_unfolds_it(page: Page):
    order = [tag for tag, a in block(page, A).elements if tag in ("details", "summary", "article")]
    assert order == ["details", "summary", "article"]
    assert "open" not in dict(block(page, A).elements[0][1])


def test_the_list_has_a_row_for_each_by_importance(run: Run, page: Page):
    text = page.text[page.text.index("By importance") :]
    rows = [rows_of(text, str(one.feature))[0] for one in run.features.named[:2]]
    assert rows[0][:3] == ["2", "3 of 9", "0 of 9"]
    assert rows_of(text, "L2/8")[0][1] == "\N{EN DASH}", "named, and not measured"
    assert "The first 2 of them were measured by themselves" in page.text


def test_a_block_takes_a_few_kilobytes(page: Page):
    assert len(block(page, A).written.encode()) < 6000


def test_an_explanation_is_text(run: Run):
    run.features.explanations[A] = "<img src=x onerror=alert(1)>"
    try:
        page = Page(render(run))
    finally:
        run.features.explanations.clear()
    assert "as: <img src=x onerror=alert(1)>" in page.text
    assert not [tag for tag, _ in page.elements if tag == "img"]


class TestHistogram:
    COUNTS = ActivationCounts(largest=8.0, harmful=(0, 1, 0, 3), harmless=(4, 0, 0, 0))

    def test_its_words_hold_every_count(self):
        drawn = histogram(self.COUNTS)
        assert (
            'aria-label="Prompts by largest activation. 0.0 to 2.0: 0 harmful, 4 harmless; 2.0 to 4.0: '
            '1 harmful, 0 harmless; 6.0 to 8.0: 3 harmful, 0 harmless"'
        ) in drawn
        assert 'role="img"' in drawn

    def test_a_bar_is_as_high_as_its_share_of_the_most(self):
        heights = [float(h) for h in re.findall(r"v-([\d.]+)h", histogram(self.COUNTS))]
        assert heights == pytest.approx([46 / 4, 46 * 3 / 4, 46.0], abs=0.05)

    def test_what_never_fires_has_none(self):
        silent = ActivationCounts(largest=0.0, harmful=(0, 0), harmless=(0, 0))
        assert histogram(silent) == ""
