"""`report`: the page again, and beside the run, if asked for, one with the prompts' words."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sae_audit import load_run
from sae_audit.cli import reporting
from sae_audit.cli.commands import app
from sae_audit.cli.prompt_texts import texts_of
from sae_audit.errors import AuditError
from sae_audit.record.run import Run
from tests.synthetic.runs import synthetic_run
from tests.visible import Page

SAMPLE = Path(__file__).parents[3] / "reports" / "sample-organism"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return synthetic_run(tmp_path / "run")


def report(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["report", *map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.output


def test_words_are_shown_beside_the_run_and_only_if_asked_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    words = {one.prompt_id: f"words of {one.prompt_id} <b>&\u202e" for one in run.scores}
    monkeypatch.setattr(reporting, "texts_of", lambda _: words)
    report(run.folder)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    assert not any(b"words of" in held for held in before.values())
    assert report(run.folder, "--with-texts").strip() == str(tmp_path / "run-with-texts.html")
    assert {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} == before
    page = Page((tmp_path / "run-with-texts.html").read_text())
    assert "shows the words of the prompts" in page.text
    audited = [one.prompt_id for one in run.scores if one.split == "audit"]
    assert audited
    assert all(f"| words of {one} <b>&\\u202e |" in page.text for one in audited)


def test_words_are_those_of_the_audit():
    run = load_run(SAMPLE)
    texts = texts_of(run)
    assert {one.prompt_id for one in run.scores} <= set(texts)
    for path in SAMPLE.rglob("*"):
        held = path.read_bytes() if path.is_file() else b""
        found = [text for text in texts.values() if text.encode() in held]
        assert not found, f"{path} holds words"


def test_other_prompts_or_none_are_refused_in_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=r"No prompt file prompts\.jsonl"):
        report(run.folder, "--with-texts")
    rows = [f'{{"prompt": "p {i}", "label": "harmful"}}' for i in range(3)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(rows))
    with pytest.raises(AuditError, match="are not those of the run"):
        report(run.folder, "--with-texts")
    assert not (tmp_path / "run-with-texts.html").exists()


@pytest.mark.parametrize("name", [one.callback.__name__ for one in app.registered_commands])  # pyright: ignore
def test_the_help_of_every_command_teaches_with_an_example(name: str):
    said = CliRunner().invoke(app, [name, "--help"]).output
    _, found, examples = said.partition("Example")
    assert found
    assert f"sae-audit {name}" in examples
