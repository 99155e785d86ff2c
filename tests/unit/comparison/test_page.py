"""The page of a comparison: each number under the checkpoint, and in the row, that it is of."""

from pathlib import Path

import pytest

from sae_audit import compare
from sae_audit.comparison.page import render
from sae_audit.comparison.types import Change, Comparison
from sae_audit.comparison.wording import amount
from sae_audit.findings import AbsenceKind
from sae_audit.pages.wording import ABSENCES, NO_VALUE, interval, percent, ranged
from tests.synthetic.findings import A, B, C, cascade, minimal, prompt_scores
from tests.synthetic.runs import synthetic_run
from tests.visible import Page, rows_of, seen

IDS = [f"p{i}" for i in range(10)]
HARMLESS = [-6.0] * 10


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Of checkpoints in which no two numbers are the same."""
    folder = tmp_path_factory.mktemp("pair")
    a = synthetic_run(
        folder / "a",
        scores=prompt_scores([5.0 + i / 8 for i in range(10)], HARMLESS),
        minimal_sets=[minimal(one, A, B) for one in IDS],
        facts={"model": "the parent"},
    )
    b = synthetic_run(
        folder / "b",
        scores=prompt_scores([4.0 - i / 2 for i in range(10)], [-5.5, *HARMLESS[1:]]),
        minimal_sets=[minimal(one, A, C) for one in IDS[:8]],
        cascades=[cascade(one, A, B, C) for one in IDS[:8]],
        facts={"model": "the variant"},
        first=7001,
    )
    return compare(a, b)


@pytest.fixture(scope="module")
def text(found: Comparison) -> str:
    return seen(render(found))


def test_parent_and_variant_have_their_own_columns(found: Comparison, text: str):
    checks = [found.a.check, found.b.check]
    assert rows_of(text, "model") == [["the parent", "the variant"]]
    assert rows_of(text, "refused harmful prompts") == [["10", "8"]]
    for name, measure in (
        ("bypass: score of harmful audit prompts, projected out (nats)", "bypass"),
        ("induce: score of harmless audit prompts, added (nats)", "induce"),
        ("KL on harmless audit prompts, projected out (nats)", "kl"),
    ):
        own = [getattr(check, measure) for check in checks]
        assert rows_of(text, name) == [[interval(one.own) for one in own]]
        assert [ranged(one.random) for one in own] in rows_of(
            text, "the same of random directions: mean, range"
        )


def test_a_change_of_behaviour_has_its_row(found: Comparison, text: str):
    corrected = {test.name: test.corrected_p for test in found.tests}
    for change in found.behaviour:
        shares = (change.refused_a, change.refused_b, change.refused.difference)
        assert rows_of(text, change.label) == [
            [
                "all",
                str(change.refused_a.n),
                *(interval(one, percent) for one in shares),
                interval(change.score.difference),
                f"{corrected[f'mean score of {change.label} prompts']:.2g}",
            ]
        ]


def test_sentences_hold_the_comparisons_numbers(found: Comparison, text: str):
    direction, features, cascades = found.direction, found.features, found.cascades
    assert direction is not None
    assert features is not None
    assert cascades is not None
    assert cascades.compensation is not None
    assert direction.stability_b is not None
    assert f"is {interval(direction.gap_ratio, percent)} of the parent's" in text
    cosine = interval(direction.stability_b)
    assert f"; the variant's direction has cosine {cosine} with itself when prompts are" in text
    assert f"share {interval(features.overlap)} of their features (Jaccard)" in text
    assert f"permuted to other prompts: {interval(features.overlap_shuffled)} (difference" in text
    assert f"Depth differs by {interval(cascades.depth.difference)} waves over 8 prompts" in text
    assert f"The compensation ratio differs by {interval(cascades.compensation)} (n = 8" in text


def test_every_test_has_its_row_and_their_number_is_stated(found: Comparison, text: str):
    assert f"over the {found.n_tests} tests for a change" in text
    assert 0 < found.n_tests < len(found.tests)
    for test in found.tests:
        (row,) = rows_of(text, test.name)
        smallest = f"{test.smallest_p:.2g}"
        if test.corrected_p is None:
            assert row[:4] == [str(test.n), smallest, NO_VALUE, "too few"]
        else:
            own, corrected = f"{test.p_value:.2g}", f"{test.corrected_p:.2g}"
            assert row[:4] == [str(test.n), smallest, own, corrected]
            assert test.could_show is not None
            assert row[4:] == [amount(test.could_show), test.could_show.method]


def test_no_change_stands_beside_what_could_have_been_shown(found: Comparison, text: str):
    unchanged = [one for one in found.verdicts if one.kind is Change.UNCHANGED]
    assert unchanged
    for verdict in unchanged:
        assert "ould have shown" in verdict.evidence
        assert verdict.evidence in text
    written = found.as_dict()["tests"]
    assert isinstance(written, list)
    assert all(
        set(one["could_show"]) == {"value", "unit", "level", "power", "method"}
        for one in written
        if one["corrected_p"] is not None
    )


def test_every_section_is_in_the_navigation(found: Comparison):
    elements = Page(render(found)).elements
    skip, *links = [attributes["href"] for tag, attributes in elements if tag == "a"]
    assert skip == "#content"
    assert links == [f"#{attributes['id']}" for tag, attributes in elements if tag == "h2"]


def test_a_checkpoint_without_a_direction_has_none_in_its_rows(tmp_path: Path):
    a = synthetic_run(tmp_path / "a")
    b = synthetic_run(tmp_path / "b", absent=AbsenceKind.NO_SEPARATION)
    text = seen(render(compare(a, b)))
    assert rows_of(text, "absent") == [["nothing", ABSENCES[AbsenceKind.NO_SEPARATION]]]
    assert rows_of(text, "direction: layer, position") == [["2, -1", "none"]]
    rows = rows_of(text, "the same of random directions: mean, range")
    assert [variant for _, variant in rows] == ["none"] * 3
