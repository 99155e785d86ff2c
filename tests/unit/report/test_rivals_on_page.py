"""Whether the pooled set beats its rivals, in plain words and in either case."""

from dataclasses import replace
from itertools import count
from pathlib import Path

from sae_audit.findings import Controls, LayerNorms, Rivals
from sae_audit.pages.charts import Points
from sae_audit.record.run import Run
from sae_audit.report.findings.controls.rivals import compared_rows, curve_rows
from sae_audit.report.page import figures, render, summary
from tests.synthetic import findings
from tests.synthetic.runs import synthetic_run
from tests.visible import rows_of, seen

QUESTION = "Does the search find more than a ranking of training prompts would?"


def page_of(folder: Path, rivals: Rivals | None) -> tuple[Run, str]:
    numbers = count(20011)
    controls = Controls.example(
        numbers, rivals=rivals, per_prompt=(), pooled=(), collateral=(), scales=()
    )
    run = synthetic_run(folder, found={"controls": [controls]})
    return run, seen(render(run))


def test_a_set_that_does_not_win_is_said_not_to_by_page_and_summary(run: Run, text: str):
    found = run.controls.rivals
    assert found is not None
    assert not found.beats_rivals
    assert f"The pooled set does not beat every rival. {found.reason}" in " ".join(text.split())
    (row,) = (row for row in summary(run) if row.question == QUESTION)
    assert row.answer.startswith("No. It beats 1 of 2 rivals")
    assert "The ranking by difference of means" in row.answer


def test_a_set_that_wins_is_said_to(tmp_path: Path):
    made = findings.rivals(count(30011))
    won = replace(made, tests=made.tests[:2])
    assert won.beats_rivals
    run, text = page_of(tmp_path / "run", won)
    assert f"The pooled set beats every rival. {won.reason}" in " ".join(text.split())
    assert "does not beat" not in text
    (row,) = (row for row in summary(run) if row.question == QUESTION)
    assert row.answer.startswith("Yes. It ended more refusals than each of 2 rivals")


def test_without_a_pooled_set_nothing_is_said_of_rivals(tmp_path: Path):
    run, text = page_of(tmp_path / "run", None)
    assert "hard to beat" not in text
    assert not any(row.question == QUESTION for row in summary(run))
    assert not {"rivals_by_size", "rivals_by_kl"} & figures(run).keys()


def test_random_sets_that_remove_too_little_say_so(tmp_path: Path):
    made = findings.rivals(count(40009))
    few = LayerNorms(layer=5, own=36.0, random=17.9)
    enough = LayerNorms(layer=7, own=20.0, random=19.0)
    run, text = page_of(tmp_path / "few", replace(made, norms=(few, enough)))
    assert "In layer 5 it cannot" in " ".join(text.split())
    assert rows_of(text, "5")[0] == ["36.0", "17.9", "no"]
    (row,) = (row for row in summary(run) if row.question == QUESTION)
    assert "Random sets cannot remove as long a vector in layer 5" in row.control
    _, matched = page_of(tmp_path / "enough", replace(made, norms=(enough,)))
    assert "It does in every layer." in " ".join(matched.split())
    _, none = page_of(tmp_path / "none", replace(made, norms=()))
    assert "No such sets" in none


def test_every_point_of_the_figures_stands_in_the_table(run: Run):
    found = run.controls.rivals
    assert found is not None
    by_kl, by_size = (
        [mark for mark in figures(run)[name].marks if isinstance(mark, Points)]
        for name in ("rivals_by_kl", "rivals_by_size")
    )
    points = sum(one.n for one in by_kl)
    rows = curve_rows(found)
    assert points == len(rows) == sum(len(c.points) for c in found.curves) + len(found.direction)
    assert len(by_size) == len(found.curves)
    assert [row.is_own for row in rows].count(True) == 1


def test_rows_that_decide_are_set_off(run: Run):
    found = run.controls.rivals
    assert found is not None
    decide = [(row.rival, row.by) for row in compared_rows(found) if row.decides]
    assert decide == [
        ("random, equal norm", "score"),
        ("difference of means", "text"),
        ("difference of means", "text"),
    ]
