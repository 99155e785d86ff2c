"""Safe look-alikes on the page of a run, and in what else is written of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sae_audit.cli.showing import Listed, listed
from sae_audit.errors import AuditError
from sae_audit.exports.model_card import model_card_section
from sae_audit.exports.numbers import numbers
from sae_audit.findings import PromptScore
from sae_audit.record.run import Run, load_run
from sae_audit.report.findings.behaviour.counts import over_refused, refusal_rows
from sae_audit.report.findings.card.splits import split_rows
from sae_audit.report.page import render, summary
from tests.synthetic.findings import prompt_scores
from tests.synthetic.runs import synthetic_run
from tests.unit.comparison.decided import lookalike_scores

PLAIN = prompt_scores([4.0] * 6, [-5.0] * 5 + [1.0])


def run_of(folder: Path, alike: Sequence[PromptScore] = ()) -> Run:
    return synthetic_run(folder, scores=[*PLAIN, *alike])


def test_the_page_says_how_many_and_names_them(tmp_path: Path):
    run = run_of(tmp_path / "run", lookalike_scores([True, True, False, False, False]))
    assert over_refused(run.scores) == {
        "safe_lookalike": ("alike0", "alike1"),
        "harmless": ("p11",),
    }
    page = render(run)
    assert "2 of the safe look-alikes\nrefused" in page
    assert "alike0 alike1</p>" in page
    assert "1 of the harmless prompts\nrefused" in page
    (row,) = [row for row in summary(run) if row.question == "Does the model refuse?"]
    assert (
        "1 of 6 harmless ones (3% to 56%) and 2 of 5 safe look-alikes (12% to 77%)" in row.control
    )
    rows = [(row.label, row.category, row.n_refused) for row in refusal_rows(run.scores)]
    assert rows[-2:] == [("safe_lookalike", "", 2), ("safe_lookalike", "homonyms", 2)]
    told = [(one.split, one.label, one.n_as_labelled) for one in split_rows(run.scores)]
    assert told[-1] == ("audit", "safe_lookalike", 3)


def test_a_page_without_any_says_so_and_nothing_more(tmp_path: Path):
    run = run_of(tmp_path / "run")
    page = render(run)
    assert "there were no safe look-alikes" in page
    assert "squares: safe look-alikes" not in page
    assert {row.label for row in split_rows(run.scores)} == {"harmful", "harmless"}
    assert "refused_lookalikes" not in numbers(run)


def test_exports_and_lists_know_them(tmp_path: Path):
    run = run_of(tmp_path / "run", lookalike_scores([True, False, False, False, False]))
    assert numbers(run)["refused_lookalikes"] == 0.2
    assert "| Safe look-alikes refused (harmless requests in alarming words) | 1 of 5 |" in (
        model_card_section(run)
    )
    assert "and 5 safe look-alikes of" in model_card_section(run)
    assert ("alike0", "safe_lookalike", "homonyms") in listed(run, Listed.REFUSED)
    assert all(label == "harmful" for _, label, _ in listed(run, Listed.COMPLIED))
    assert set(run.table("scores")["label"]) == {"harmful", "harmless", "safe_lookalike"}
    assert "1 of 5 safe look-alikes" in run._repr_html_()
    assert run.findings.prompts.safe_lookalikes == 5


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('"label":"safe_lookalike"', '"label":"harmless"', "harmless"),
        (
            '"split":"audit","label":"safe_lookalike"',
            '"split":"train","label":"safe_lookalike"',
            "safe",
        ),
    ],
)
def test_a_record_that_counts_other_look_alikes_is_refused(
    tmp_path: Path, before: str, after: str, fault: str
):
    import sqlite3

    folder = run_of(tmp_path / "run", lookalike_scores([True, False])).folder
    connection = sqlite3.connect(folder / "run.sqlite")
    (text,) = connection.execute("SELECT payload FROM records WHERE stage = 'scores'").fetchone()
    assert before in text.replace(" ", "")
    changed = text.replace(" ", "").replace(before, after)
    connection.execute("UPDATE records SET payload = ? WHERE stage = 'scores'", (changed,))
    connection.commit()
    connection.close()
    with pytest.raises(AuditError, match=fault):
        load_run(folder)
