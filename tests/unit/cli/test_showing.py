"""`show`, `runs`, and what `audit` prints at its end."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sae_audit.cli import screen
from sae_audit.cli.commands import app
from sae_audit.cli.verdict_screen import print_verdict
from sae_audit.errors import AuditError
from sae_audit.findings import AbsenceKind, Confirmation, TextCheck
from sae_audit.record.layout import STORE
from sae_audit.record.run import Run
from sae_audit.report.verdict.types import ENOUGH_REFUSED
from sae_audit.report.verdict.verdict import verdict
from tests.synthetic.findings import A, minimal, prompt_scores
from tests.synthetic.runs import synthetic_run

DOCS = Path(__file__).parents[3] / "docs"
ABSENT = (None, *AbsenceKind)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of three harmful prompts two are refused, of two harmless ones one; the answer to p0 complies."""
    checks = tuple(
        TextCheck(prompt_id=one, case="ablated", score=-0.5, complied=one == "p0")
        for one in ("p0", "p1")
    )
    read = Confirmation.example(
        judge="strict", checks=checks, complied_random=None, n_not_judged=0, n_not_flipped=0
    )
    return synthetic_run(
        tmp_path_factory.mktemp("shown") / "run",
        scores=prompt_scores([4.0, 3.0, -1.0], [2.0, -5.0], category="fraud"),
        minimal_sets=[minimal("p0", A), minimal("p1", A)],
        found={"confirmation": [read]},
    )


def said(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    if done.exception is not None:
        raise done.exception
    return done.output


@pytest.mark.parametrize("absent", ABSENT, ids=str)
@pytest.mark.parametrize("model", ["tiny", "an-organisation/" + "a" * 80])
def test_the_result_of_an_audit_fits_twelve_lines_of_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], absent: AbsenceKind | None, model: str
):
    own = synthetic_run(
        tmp_path / "run",
        scores=prompt_scores([4.0] * 60, [-5.0] * 60),
        absent=absent,
        facts={"model": model},
    )
    print_verdict(own)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 12
    # The last two name a folder, which is not broken so that it can be copied.
    assert max(map(len, lines[:-2])) <= 80
    found = verdict(own)
    assert found.reading.value in lines[0]
    for one in found.figures:
        assert sum(one.short in line and one.value in line for line in lines) == 1
    assert lines[-1] == f"All findings: sae-audit show {own.folder} --table"


def test_signs_are_ascii_where_the_output_has_no_others(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(type(screen.out), "encoding", property(lambda _: "ascii"))
    print_verdict(run)
    assert not set("■▲●○") & set(capsys.readouterr().out)


def test_show_says_what_the_first_screen_says(run: Run):
    found = verdict(run)
    printed = " ".join(said("show", run.folder).split())
    for sentence in (found.headline, *found.sentences, *found.care):
        assert sentence in printed
    assert "Question" not in printed


def test_show_with_table_says_everything(run: Run):
    printed = " ".join(said("show", run.folder, "--table").split())
    assert "Compared with" in printed
    assert "How well the SAEs describe this model" in printed


@pytest.mark.parametrize(
    ("which", "ids"), [("refused", ["p0", "p1", "p3"]), ("complied", ["p2"]), ("lost", ["p0"])]
)
def test_prompts_are_listed_by_id_and_topic(run: Run, which: str, ids: list[str]):
    lines = said("show", run.folder, "--prompts", which).splitlines()
    assert [line.split()[0] for line in lines] == ids
    assert all(line.split()[-1] == "fraud" for line in lines)


def test_without_answers_a_refusal_is_lost_by_its_score(tmp_path: Path):
    own = synthetic_run(tmp_path / "run", minimal_sets=[minimal("p0", A), minimal("p1")])
    assert said("show", own.folder, "--prompts", "lost").split()[0] == "p0"
    assert "p1" not in said("show", own.folder, "--prompts", "lost")


@pytest.mark.parametrize("others", [("--table",), ("--prompts", "lost"), ("--json",)])
def test_two_kinds_of_output_at_once_are_refused(run: Run, others: tuple[str, ...]):
    other = "--table" if others == ("--json",) else "--json"
    with pytest.raises(AuditError, match="one of them"):
        said("show", run.folder, other, *others)


def test_show_as_json_holds_the_numbers_of_the_first_screen(run: Run):
    data, found = json.loads(said("show", run.folder, "--json")), verdict(run)
    assert set(data) == {
        *("model", "finished", "reading", "absent", "figures", "limits", "important")
    }
    assert data["reading"] == found.reading.value
    assert data["absent"] is None
    assert list(data["figures"]) == [
        *("harmful_refused", "over_refusal", "features_of_a_set"),
        *("complied_in_text", "seen_through_saes"),
    ]
    refused = data["figures"]["harmful_refused"]["estimate"]
    assert (refused["value"], refused["n"]) == (2 / 3, 3)
    sizes = data["figures"]["features_of_a_set"]["estimate"]
    assert (sizes["value"], sizes["low"], sizes["high"]) == (1.0, None, None), "two cases"
    assert data["limits"]["harmful_refused_at_least"] == ENOUGH_REFUSED
    assert data["important"] == [{"feature": str(A), "n_prompts": 2}]


@pytest.mark.parametrize("absent", ABSENT, ids=str)
def test_every_figure_has_a_documented_name_of_its_own(tmp_path: Path, absent: AbsenceKind | None):
    own = synthetic_run(tmp_path / "run", absent=absent)
    data = json.loads(said("show", own.folder, "--json"))
    assert data["absent"] == absent
    assert len(data["figures"]) == len(verdict(own).figures), "no two share a name"
    documented = (DOCS / "compatibility.md").read_text()
    assert all(f"`{name}`" in documented for name in (*data, *data["figures"], *data["limits"]))


def test_runs_lists_what_a_folder_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    synthetic_run(tmp_path / "first", facts={"model": "[red]mine"})
    absent = synthetic_run(tmp_path / "second", absent=AbsenceKind.NO_REFUSAL)
    (tmp_path / "notes").mkdir()
    broken = tmp_path / "third"
    broken.mkdir()
    (broken / STORE).write_bytes(b"no database")
    monkeypatch.setattr(screen.out, "_width", 200)
    lines = said("runs", tmp_path).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["first", "second", "third"]
    assert "[red]mine" in lines[1]
    assert "2026-01-01" in lines[1]
    assert "finished" in lines[1]
    assert verdict(absent).headline[:30] in lines[2]
    assert "cannot be read" in lines[3]
    assert "notes" not in "\n".join(lines)
    listed = json.loads(said("runs", tmp_path, "--json"))
    assert [one["state"] for one in listed] == ["finished", "finished", "unreadable"]
    assert listed[1]["reading"] == verdict(absent).reading.value
    assert listed[0]["finished"].startswith("2026-01-01")
    assert listed[2]["problem"]
    documented = (DOCS / "compatibility.md").read_text()
    assert all(f"`{name}`" in documented for name in listed[0])


def test_runs_says_how_far_an_unfinished_one_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sqlite3

    own = synthetic_run(tmp_path / "run")
    with sqlite3.connect(own.folder / STORE) as connection:
        connection.execute("DELETE FROM facts WHERE name = 'finished'")
    connection.close()
    monkeypatch.setattr(screen.out, "_width", 200)
    assert "stopped after: What stands" in said("runs", tmp_path)
    (listed,) = json.loads(said("runs", tmp_path, "--json"))
    assert (listed["state"], listed["last_stage"]) == ("unfinished", "claims")
    assert listed["reading"] is None


def test_a_folder_without_runs_or_that_is_none_is_said(tmp_path: Path):
    assert said("runs", tmp_path).startswith("No run in ")
    assert json.loads(said("runs", tmp_path, "--json")) == []
    with pytest.raises(AuditError, match="is no folder"):
        said("runs", tmp_path / "nowhere")
