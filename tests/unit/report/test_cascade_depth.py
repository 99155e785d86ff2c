"""What the page says of edges, tokens, chance, the final norm and the way back up."""

import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.report.page import render
from sae_audit.report.summary import summary
from tests.synthetic import A, B, C, cascade, synthetic_run

LATER = ("edges", "waking", "pooled_cascade", "sufficiency")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("depth") / "run"
    return synthetic_run(folder, cascades=[cascade("p0", A, B, C), cascade("p1", A)])


@pytest.fixture(scope="module")
def section(run: Run) -> str:
    page = render(run)
    start = page.index("<h2>Cascades</h2>")
    return re.sub(r"\s+", " ", page[start : page.index("<h2>Controls</h2>", start)])


def test_every_edge_is_shown_with_each_test_it_went_through(section: str):
    assert "<td>direct</td>" in section
    for activation in ("1.375", "1.250", "1.125"):
        assert activation in section
    assert "0 of 5" in section, "stand-ins"
    assert "5 pairs of a feature and one of a later wave" in section


def test_pooled_numbers_stand_with_interval_and_control(run: Run, section: str):
    pooled = run.pooled_cascade
    assert pooled is not None
    assert "Mean depth 2.000 [1.000, 3.000] waves" in section
    assert "17.000 (all cases alike)" in section, "awake, beside as many by chance"
    assert "100% [34%, 100%]" in section, "the first feature is in every first wave"
    assert "76% (all cases alike)" in section, "features that peak on the template"


def test_the_norms_part_of_compensation_is_a_row_of_its_own(section: str):
    assert "frozen less live: what the norm undoes" in section
    assert "0.062 (all cases alike)" in section


def test_sufficiency_is_answered_beside_its_control(run: Run, section: str):
    assert "all waves of a flipped prompt" in section
    answers = {row.question: row for row in summary(run)}
    row = answers["Are the same features enough to refuse?"]
    assert "75% [70%, 80%]" in row.answer
    assert "0.375 [0.325, 0.425] nats" in row.control


def test_what_is_published_is_what_is_recorded(run: Run):
    findings = published(run)
    first = findings.cascades[0]
    assert [(edge.cause, edge.feature) for edge in first.edges] == [(A, B)]
    assert first.waking is not None
    assert first.waking.prompt_id == "p0"
    assert first.frozen_compensation_ratio == 0.3125
    assert findings.pooled_cascade == run.pooled_cascade
    assert findings.sufficiency == run.sufficiency


def test_tables_have_a_row_for_each_edge_and_each_class_of_token(run: Run):
    edges, tokens = run.table("wake_edges"), run.table("waking_tokens")
    assert edges.loc[0, "kind"] == "direct"
    assert len(tokens) == 4 * (3 + 1), "four classes, after each of three waves and of one"
    assert set(tokens.n_tokens) == {1, 3, 12, 5}


def test_without_a_frozen_norm_the_page_says_why(tmp_path: Path):
    reason = "the final norm, LayerNorm, does not divide by the root mean square alone"
    only = replace(cascade("p0", A, B), frozen_ratio=None, frozen_reason=reason)
    page = render(synthetic_run(tmp_path / "run", cascades=[only]))
    assert f"No ratio with the final norm frozen: {reason}." in page


def test_a_record_older_than_these_questions_still_opens(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    with sqlite3.connect(run.folder / "run.sqlite") as connection:
        connection.executemany("DELETE FROM records WHERE stage = ?", [(one,) for one in LATER])
    old = Run(run.folder)
    page = render(old)
    assert "Score after each wave" in page
    assert "Who wakes whom" not in page
    assert published(old).pooled_cascade is None
    assert published(old).cascades[0].edges == []
