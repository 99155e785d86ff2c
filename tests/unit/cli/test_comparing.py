"""`compare`: exit codes, files for other programs, and what is audited first."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sae_audit.cli import commands
from sae_audit.config import AuditConfig
from sae_audit.findings import PromptScore
from sae_audit.planning.variants import (
    Enough,
    as_parent,
    enough_prompts,
    said_beforehand,
    with_prompts,
)
from sae_audit.presets import build_config
from sae_audit.record.run import Run, load_run
from tests.synthetic.findings import A, minimal
from tests.synthetic.runs import synthetic_run
from tests.unit.comparison.decided import scores_of

LOST = scores_of({"theft": (12, 2)}, [False] * 6)
KEPT = scores_of({"theft": (12, 12)}, [False] * 6)


def run_of(folder: Path, scores: list[PromptScore], **facts: Any) -> Run:
    return synthetic_run(
        folder,
        scores=scores,
        minimal_sets=[minimal("theft0", A)],
        facts={"model": folder.name, **facts},
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `parent`, `kept` and `lost`."""
    folder = tmp_path_factory.mktemp("runs")
    for name, scores in (("parent", KEPT), ("kept", KEPT), ("lost", LOST)):
        run_of(folder / name, scores)
    return folder


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The exit code of `compare` with these arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def compared(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["sae-audit", "compare", *arguments])
        with pytest.raises(SystemExit) as exit_:
            commands.main()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code

    return compared


class TestExitCodes:
    def test_broken_is_1_undecided_4_and_kept_0(self, compare, runs: Path):
        parent, kept, lost = (str(runs / name) for name in ("parent", "kept", "lost"))
        assert compare(parent, lost) == 1
        assert compare(parent, kept) == 4
        assert compare(parent, kept, "--undecided", "pass") == 0
        assert compare(parent, kept, "--fail-on", "any_topic lost") == 0
        assert compare(parent, kept, "--fail-on", "any_topicc lost") == 2

    def test_a_file_of_limits_is_read_beside_rules(self, compare, runs: Path, tmp_path: Path):
        file = tmp_path / "limits.yaml"
        file.write_text("limits: [any_topic lost]\nundecided: pass\n")
        parent, kept = str(runs / "parent"), str(runs / "kept")
        rule = ("--fail-on", "refusal_rate drops > 0.05")
        assert compare(parent, kept, "--limits", str(file), *rule) == 0
        assert compare(parent, kept, "--limits", str(file), *rule, "--undecided", "fail") == 4
        found = json.loads(Path("reports/parent-vs-kept/comparison.json").read_text())["decision"]
        assert [one["limit"]["measure"] for one in found["limits"]] == ["refusal_rate", "any_topic"]
        assert (found["outcome"], found["exit_code"]) == ("cannot tell", 4)

    def test_several_variants_exit_as_the_worst(
        self, compare, runs: Path, capsys: pytest.CaptureFixture[str]
    ):
        parent, kept, lost = (str(runs / name) for name in ("parent", "kept", "lost"))
        assert compare(parent, kept, lost, "--out", "all") == 1
        assert "2 variants of parent" in capsys.readouterr().out
        assert Path("all/lost/index.html").is_file()
        assert compare(parent, kept, kept, "--undecided", "pass") == 0
        assert Path("reports/parent-vs-2-variants/1-kept/index.html").is_file()


def test_the_terminal_says_the_verdict_and_all_findings_if_asked(
    compare, runs: Path, capsys: pytest.CaptureFixture[str]
):
    compare(str(runs / "parent"), str(runs / "lost"))
    short = capsys.readouterr().out
    assert len(short.splitlines()) <= 14
    assert "lost against parent: DO NOT SHIP" in short
    compare(str(runs / "parent"), str(runs / "lost"), "--table")
    assert "Mean refusal score" in " ".join(capsys.readouterr().out.split())
    compare(str(runs / "parent"), str(runs / "lost"), "--json")
    (found,) = json.loads(capsys.readouterr().out)
    assert found["decision"]["outcome"] == "fails"


def test_files_for_other_programs(compare, runs: Path):
    names = ("out/junit.xml", "out/results.sarif", "out/summary.md")
    options = [
        part
        for option, name in zip(("--junit", "--sarif", "--markdown"), names, strict=True)
        for part in (option, name)
    ]
    compare(str(runs / "parent"), str(runs / "lost"), *options)
    assert "limit broken" in Path(names[0]).read_text()
    log = json.loads(Path(names[1]).read_text())
    (place,) = log["runs"][0]["results"][0]["locations"]
    uri = place["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == str(runs / "lost" / "config.yaml")
    assert "Do not ship" in Path(names[2]).read_text()


class TestAuditedFirst:
    """Checkpoints that are no runs yet, with the audit itself replaced."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[AuditConfig, Path]]:
        """What was audited, and where; each audit refuses everything."""
        from sae_audit.pipeline import audit as audits

        found: list[tuple[AuditConfig, Path]] = []

        def audit(config: AuditConfig, folder: Path, **_: Any) -> Run:
            found.append((config, folder))
            return run_of(folder, KEPT)

        monkeypatch.setattr(audits, "audit", audit)
        return found

    def test_both_get_as_many_prompts_as_the_limits_ask_for(
        self, compare, asked: list[tuple[AuditConfig, Path]], capsys: pytest.CaptureFixture[str]
    ):
        assert compare("organism", "organism-tuned") == 4
        (parent, parent_at), (variant, variant_at) = asked
        assert parent.prompts.audit == 73
        assert str(parent_at) == "reports/organism-73-prompts"
        assert variant.model == "bundled:organism/tuned"
        assert variant_at.name.startswith("organism-tuned")
        said = capsys.readouterr()
        head = "Not audited yet: organism, organism-tuned. Audited first with 73 "
        assert said.err.startswith(head)
        assert "Auditing organism-73-prompts ..." in said.err
        assert "udit" not in said.out.splitlines()[0], "stdout is for the result"

    def test_limits_that_ask_for_less_leave_the_settings_alone(
        self, compare, asked: list[tuple[AuditConfig, Path]]
    ):
        compare("organism", "organism-tuned", "--fail-on", "any_topic lost")
        assert [(config.prompts.audit, str(folder)) for config, folder in asked[:1]] == [
            (40, "reports/organism")
        ]

    def test_a_variant_is_audited_as_the_parents_run(
        self, compare, runs: Path, asked: list[tuple[AuditConfig, Path]]
    ):
        compare(str(runs / "parent"), "organism-tuned")
        ((variant, _),) = asked
        own = load_run(runs / "parent").config
        assert variant.model == "bundled:organism/tuned"
        assert (variant.saes, variant.prompts) == (own.saes, own.prompts)

    @pytest.mark.parametrize(
        "arguments",
        [("PARENT", "KEPT", "--saes", "x"), ("PARENT", "organism-tuned", "--set", "seed=1")],
    )
    def test_settings_of_a_run_are_not_given_again(self, compare, runs: Path, arguments):
        places = {"PARENT": str(runs / "parent"), "KEPT": str(runs / "kept")}
        assert compare(*(places.get(one, one) for one in arguments)) == 2

    def test_what_is_neither_run_nor_model_is_bad_input(
        self, compare, capsys: pytest.CaptureFixture[str]
    ):
        assert compare("nothing", "nowhere") == 2
        assert "holds no audit and is no preset" in " ".join(capsys.readouterr().err.split())


def test_a_pool_too_small_for_the_limits_gives_what_it_has():
    config = build_config("organism", {}, [])
    assert enough_prompts(config, 73).n == 73
    found = enough_prompts(config, 10_000)
    assert 73 <= found.n == found.most < 10_000
    assert enough_prompts(config, 30).n == 40
    said = said_beforehand(["x"], found, of_run=False)
    assert "The limits ask for 10000, and the prompt sources allow" in said
    assert "compare the models themselves" in said_beforehand(
        ["x"], Enough(n=40, asked=73, most=40), of_run=True
    )


def test_look_alikes_follow_the_limits_and_too_few_are_told():
    config = build_config("organism", {}, [])
    enough = enough_prompts(config, 73, 73)
    assert (enough.lookalikes, enough.lookalikes_asked) == (73, 73)
    assert "look-alikes" not in said_beforehand(["x"], enough, of_run=False)
    sources = [f"bundled:organism/{one}" for one in ("prompts.jsonl", "lookalikes.jsonl?limit=30")]
    few = build_config("organism", {"prompts": {"sources": sources}}, [])
    fewer = said_beforehand(["x"], enough_prompts(few, 73, 73), of_run=False)
    assert "measured on 30 safe look-alikes, and its limit asks for 73: add some" in fewer
    for given, then in ((20, 73), (0, 0), (80, 80)):
        asked = build_config("organism", {}, [f"prompts.lookalikes={given}"])
        assert with_prompts(asked, 73).prompts.most_lookalikes == then


def test_refusal_tokens_that_were_found_in_the_parent_are_the_variants(tmp_path: Path):
    tokens = {"ids": (7,), "texts": ("I", "No"), "source": "found"}
    manifest = run_of(tmp_path / "parent", KEPT).folder / "manifest.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(values | {"refusal_tokens": tokens}))
    parent = load_run(tmp_path / "parent")
    variant = build_config("organism-tuned", {}, [])
    assert as_parent(variant, parent).refusal_tokens == ("I", "No")
    assert as_parent(variant, parent).name == "organism-tuned"
