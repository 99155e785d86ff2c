"""The order of the page: verdict, five chapters with all sections folded, an address of each finding."""

import re
from pathlib import Path

import pytest

from sae_audit.findings import AbsenceKind
from sae_audit.record.run import Run
from sae_audit.report.chapters import CHAPTERS, topics
from sae_audit.report.feature_links import addresses, linked
from sae_audit.report.findings.summary.bars import bar
from sae_audit.report.meanings import MEANINGS
from sae_audit.report.page import SECTIONS, render, summary
from sae_audit.report.verdict.types import LIMITS, Figure, FigureId, Reading
from sae_audit.report.verdict.verdict import verdict
from sae_audit.statistics import no_interval, share
from tests.synthetic.findings import A, B, prompt_scores
from tests.synthetic.runs import synthetic_run
from tests.visible import Page


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page(render(run))


def ids(page: Page) -> list[str]:
    return [a["id"] or "" for _, a in page.elements if "id" in a]


def test_the_verdict_stands_before_all_else(run: Run, page: Page):
    found = verdict(run)
    head, _, _ = page.text.partition(CHAPTERS[0].title)
    for said in (found.headline, *found.sentences, *found.care, LIMITS):
        assert said in head
    for one in found.figures:
        sign = f"{one.reading.sign} {one.word}"
        assert f"\n{one.name} | {one.value} | {one.interval} | | {sign} |" in head
    assert found.reading.value in head, "the word, for those who do not see the sign"


def test_words_are_explained_on_the_first_screen(page: Page):
    head, _, _ = page.text.partition(CHAPTERS[0].title)
    for word in ("Refusal score", "Feature", "Switch off", "Set", "Interval"):
        assert f"\n{word}\n" in head


def test_every_section_is_in_one_chapter_and_each_chapter_answers(run: Run, page: Page):
    held = [id for one in CHAPTERS for id in one.sections]
    assert len(held) == len(set(held))
    assert {*held, "summary", "all_findings"} == {one.id for one in SECTIONS}
    for chapter in CHAPTERS:
        answer = chapter.answer(run)
        assert answer[0]
        assert " ".join(answer) in page.text
        assert f"How we know. {chapter.known}" in page.text


@pytest.mark.parametrize("absent", AbsenceKind, ids=str)
def test_each_chapter_answers_whatever_is_absent(tmp_path: Path, absent: AbsenceKind):
    run = synthetic_run(tmp_path / "run", absent=absent)
    found = Page(render(run))
    assert not re.search(r"\bNone\b(?! |\.)", found.text.partition("All findings")[0])
    for chapter in CHAPTERS:
        assert " ".join(chapter.answer(run)) in found.text


def test_links_lead_to_places_of_the_page(page: Page):
    places = ids(page)
    assert len(places) == len(set(places))
    targets = [attributes.get("href") or "" for tag, attributes in page.elements if tag == "a"]
    inner = [one.removeprefix("#") for one in targets if one.startswith("#")]
    assert inner
    assert set(inner) <= set(places)


def test_every_finding_has_a_row_with_an_address_and_a_meaning(run: Run, page: Page):
    rows = summary(run)
    assert {row.address for row in rows} <= set(ids(page))
    assert len({row.address for row in rows}) == len(rows)
    for row in rows:
        assert f"# {row.question}\n{row.meaning} | {row.answer} | {row.control} |" in page.text
    assert rows[0].address == "finding-which-claims-stand"
    assert all(said.endswith(".") for said in MEANINGS.values())


def test_every_mention_of_a_feature_is_a_link(run: Run, page: Page):
    known = {str(one) for one in addresses(run)}
    assert {str(A), str(B)} <= known
    bare = re.sub(
        r"<(style|script|a|svg|title|summary|button|h\d|code)\b.*?</\1>|<[^>]*>",
        "",
        page.written,
        flags=re.DOTALL,
    )
    assert not [one for one in known if re.search(rf"(?<![\w/]){one}(?![\w/])", bare)]
    assert page.written.count(f'href="#{A}"') > 5


def test_only_features_with_an_address_are_linked_and_only_in_text(run: Run):
    (name, other) = (str(A), "L99/7")
    given = (
        f'<p title="{name}">{name}, {other}, x{name}, {name}x</p><a href="#x">{name}</a>'
        f"<svg><text>{name}</text></svg><script>'{name}' < 1</script>{name}"
    )
    link = f'<a href="#{name}">{name}</a>'
    assert linked(given, run) == (
        f'<p title="{name}">{link}, {other}, x{name}, {name}x</p><a href="#x">{name}</a>'
        f"<svg><text>{name}</text></svg><script>'{name}' < 1</script>{link}"
    )


def test_topics_are_listed_the_least_refused_first(tmp_path: Path):
    scores = [
        *prompt_scores([4.0, 3.0], [-5.0], ids="a", category="fraud"),
        *prompt_scores([4.0, -1.0, 2.0], [], ids="b", category="arson"),
    ]
    run = synthetic_run(tmp_path / "run", scores=scores)
    assert [(one.name, one.said) for one in topics(run)] == [
        ("arson", "2 of 3"),
        ("fraud", "2 of 2"),
    ]
    text = Page(render(run)).text
    assert "\narson | ■■□ | 2 of 3 |" in text
    assert "It refused least on arson: 2 of 3." in text


def test_a_bar_says_its_number_and_stays_on_its_scale():
    def figure(**given: object) -> Figure:
        base = {"name": "x", "short": "x", "value": "5 of 5", "interval": "57% to 100%"}
        id = FigureId.HARMFUL_REFUSED
        return Figure(**base, id=id, reading=Reading.FINE, word="fine", **given)  # pyright: ignore

    assert bar(figure()) == ""
    drawn = bar(figure(estimate=share(5, 5)))
    assert 'aria-label="5 of 5, 95% interval 57% to 100%"' in drawn
    assert 'class="within"' in drawn
    assert 'cx="162.0"' in drawn
    over = bar(figure(estimate=no_interval(1.3, 2, "none: fewer than 5 cases")))
    assert 'class="within"' not in over
    assert 'cx="162.0"' in over
