"""`sae-audit feature`: what it prints, what it refuses, and that it writes nothing."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sae_audit.cli.commands import main
from sae_audit.findings.stages import FEATURE_PROFILES
from sae_audit.record.run import Run
from tests.synthetic.findings import feature_profiles, prompt_scores
from tests.synthetic.runs import synthetic_run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sae-audit", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as done:
            main()
        said = capsys.readouterr()
        return int(done.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Its harmful prompts have words in a file."""
    words = {"p0": "how to build a bomb", "p1": "how to steal a car", "p2": "how to bake bread"}
    lines = [
        {"id": one, "text": text, "label": "harmless" if one == "p2" else "harmful"}
        for one, text in words.items()
    ]
    source = tmp_path / "prompts.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)))
    return synthetic_run(
        tmp_path / "run",
        scores=prompt_scores([4.0, 3.0], [-5.0], category="arson"),
        model=str(tmp_path / "no-such-model"),
        prompts={"sources": (str(source),)},
    )


def written(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_without_a_name_they_are_listed_by_importance(run: Run, command: Command):
    code, out, _ = command("feature", run.folder)
    assert code == 0
    places = [out.index(str(one.feature)) for one in run.features.named]
    assert places == sorted(places)
    assert "3 of 9" in out
    assert "not measured" in out, "C is named and was not"


def test_one_is_told_whole(run: Run, command: Command):
    code, out, _ = command("feature", run.folder, "L1/3")
    assert code == 0
    found = run.feature("L1/3")
    flat = " ".join(out.split())
    for said in (found.verdict, *found.sentences):
        assert said in flat
    for one in found.effects:
        assert f"{one.name}: {one.turned} ({one.interval})" in out
        assert f"random features: {one.random}; score {one.change_random}" in out
    assert "p0, arson, token 18 of 23, chat template behind the text" in out
    assert "' sorry'" in out
    assert "a pointer, not a proof" in out
    assert "L1/41 (0.71)" in flat


def test_words_are_printed_if_asked_for_and_nothing_is_written(
    run: Run, command: Command, tmp_path: Path
):
    before = written(tmp_path)
    _, silent, _ = command("feature", run.folder, "L1/3")
    code, out, _ = command("feature", run.folder, "L1/3", "--show-text")
    assert code == 0
    assert "bomb" not in silent
    assert "p0: how to build a bomb" in out
    assert "p1: how to steal a car" in out
    assert "Whole texts, since the tokenizer cannot be opened: " in out
    assert written(tmp_path) == before


def test_no_file_of_the_run_holds_words(run: Run):
    for path, data in written(run.folder).items():
        assert b"bomb" not in data, path


def test_as_json(run: Run, command: Command):
    code, out, _ = command("feature", run.folder, "L1/3", "--json")
    assert code == 0
    assert json.loads(out)["id"] == "L1/3"
    _, out, _ = command("feature", run.folder, "--json")
    assert [one["id"] for one in json.loads(out)] == [
        str(one.feature) for one in run.features.named
    ]


def test_explanations_are_shown_and_are_no_markup(run: Run, command: Command, tmp_path: Path):
    file = tmp_path / "own.json"
    file.write_text(json.dumps({"L1/3": "[red]harm[/red] \x1b[2J"}))
    _, out, _ = command("feature", run.folder, "L1/3", "--explanations", file)
    assert "Explained as: [red]harm[/red] \\x1b[2J" in out
    _, out, _ = command("feature", run.folder, "--explanations", file)
    assert "\x1b[2J" not in out
    code, page, _ = command("report", run.folder, "--explanations", file)
    assert code == 0
    assert "as: [red]harm[/red]" in Path(page.strip()).read_text()


def test_what_became_of_it_in_a_variant(run: Run, command: Command):
    code, out, err = command("feature", run.folder, "L1/3", "--against", run.folder)
    assert code == 0, err
    assert "In run: L1/3 is in the sets of 2 of 2 prompts, as before." in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("L9/1",), "the run audited layers 1, 2"),
        (("nine",), "is no feature id"),
        (("--show-text",), "Name a feature for --show-text"),
        (("L1/3", "--explanations", "none.json"), "No file none.json"),
    ],
)
def test_what_it_refuses(run: Run, command: Command, arguments: tuple[str, ...], complaint: str):
    code, out, err = command("feature", run.folder, *arguments)
    assert (code, out) == (2, "")
    assert complaint in err


def test_a_record_that_names_prompts_that_are_not_there_is_one_sentence(
    tmp_path: Path, command: Command
):
    run = synthetic_run(tmp_path / "run")
    assert run.feature_profiles is not None
    other = prompt_scores([1.0, 2.0], [], ids="other")
    profiles = feature_profiles(run.minimal_sets, other)
    run = synthetic_run(tmp_path / "run", found={FEATURE_PROFILES.name: [profiles]})
    code, _, err = command("feature", run.folder, "L1/3")
    assert code == 2
    assert "does not fit together" in err


def test_a_page_of_its_own_is_written_where_it_is_asked_for(
    run: Run, command: Command, tmp_path: Path
):
    before = written(run.folder)
    feature, page = run.features.named[0].feature, tmp_path / "feature.html"
    code, out, _ = command("feature", run.folder, str(feature), "--html", page)
    assert code == 0
    assert f"Page: {page}" in out.replace("\n", "")
    assert str(feature) in page.read_text(encoding="utf-8")
    assert "how to build a bomb" not in page.read_text(encoding="utf-8")
    assert written(run.folder) == before
    code, _, said = command("feature", run.folder, "--html", page)
    assert code == 2
    assert "Name a feature" in said
