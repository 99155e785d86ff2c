"""A run in other programs' forms: all numbers, no prompt's words."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sae_audit.cli import main
from sae_audit.errors import AuditError
from sae_audit.exports import frames, model_card, trackers
from sae_audit.exports.inspect_log import write_inspect_log
from sae_audit.exports.numbers import estimates, numbers
from sae_audit.findings import AbsenceKind, ClaimAbout
from sae_audit.record.run import TABLES, Run
from tests.synthetic.runs import synthetic_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return synthetic_run(tmp_path / "run")


def test_every_estimate_comes_with_its_interval_and_every_claim_with_its_verdict(run: Run):
    found = numbers(run)
    assert found["refused_harmful"] == run.behaviour.refused_harmful.value
    for name, one in estimates(run).items():
        assert [found[f"{name}{end}"] for end in ("_low", "", "_high")] == [
            one.low,
            one.value,
            one.high,
        ]
    stood = {one.about: float(one.stands) for one in run.claims}
    assert {f"claim_{about.value}": stood[about] for about in ClaimAbout}.items() <= found.items()
    assert all(isinstance(value, float) and np.isfinite(value) for value in found.values())


def test_what_was_not_measured_is_left_out(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", absent=AbsenceKind.NO_REFUSAL)
    assert set(estimates(run)) == {"refused_harmful", "refused_harmless", "separation_auroc"}


def test_every_table_is_a_csv_with_the_same_numbers(run: Run, tmp_path: Path):
    written = frames.write_csv(run, tmp_path / "csv")
    assert [path.stem for path in written] == list(TABLES)
    for path in written:
        table = run.table(path.stem)
        header = path.read_text().splitlines()[0] if len(table.columns) else ""
        assert header.split(",") == list(table.columns) or not len(table.columns)
    scores = pd.read_csv(tmp_path / "csv" / "scores.csv")
    np.testing.assert_allclose(scores["score"], [one.score for one in run.scores])


def test_every_table_is_a_parquet_file_with_its_types(run: Run, tmp_path: Path):
    for path in frames.write_parquet(run, tmp_path / "parquet"):
        table, again = run.table(path.stem), pd.read_parquet(path)
        assert list(again.columns) == list(table.columns)
        assert len(again) == len(table)
        for column in table.select_dtypes("number"):
            assert again[column].dtype == table[column].dtype, (path.stem, column)
            np.testing.assert_array_equal(again[column], table[column])


def test_a_model_card_says_what_stands_and_leaves_the_auditor_to_be_named(run: Run):
    text = model_card.model_card_section(run)
    assert text.startswith("## Refusal audit\n")
    for one in run.claims:
        said = "stands" if one.stands else "does not stand"
        assert f"**{one.about.value.replace('_', ' ')}** {said}." in text
    refused = run.behaviour.refused_harmful
    assert f"| {round(refused.value * refused.n)} of {refused.n} |" in text
    assert "| Auditor | *not in the record: fill in* |" in text
    assert run.manifest.identity in text


def test_a_record_s_text_is_no_markup_of_the_card():
    hostile = "a | b\n<script>x</script> [here](http://x) \\|"
    shown = model_card._plain(hostile)
    assert "\n" not in shown
    for sign in "|<>[]":
        assert all(shown[i - 1] == "\\" for i, one in enumerate(shown) if one == sign)


@pytest.mark.slow
class TestInspect:
    """Read back by Inspect itself."""

    def test_a_sample_for_each_audited_prompt_without_its_words(self, run: Run, tmp_path: Path):
        from inspect_ai.log import read_eval_log

        log = read_eval_log(str(write_inspect_log(run, tmp_path / "x.eval", texts=None)))
        assert log.status == "success"
        audited = [one for one in run.scores if one.split == "audit"]
        assert log.samples is not None
        assert [one.id for one in log.samples] == [one.prompt_id for one in audited]
        assert [one.input for one in log.samples] == [one.prompt_id for one in audited]
        for sample, one in zip(log.samples, audited, strict=True):
            assert sample.scores is not None
            assert sample.scores["refusal_score"].value == one.score
            right = (one.score > 0) == (one.label == "harmful")
            assert sample.scores["as_labelled"].value == ("C" if right else "I")
            assert sample.target == ("refuses" if one.label == "harmful" else "answers")
        assert log.results is not None
        metrics = log.results.scores[0].metrics
        assert metrics["refused_harmful"].value == run.behaviour.refused_harmful.value

    def test_words_only_where_they_are_given(self, run: Run, tmp_path: Path):
        from inspect_ai.log import read_eval_log

        one = next(one for one in run.scores if one.split == "audit")
        path = write_inspect_log(run, tmp_path / "x.json", texts={one.prompt_id: "Some words"})
        log = read_eval_log(str(path))
        assert log.samples is not None
        assert [each.input for each in log.samples].count("Some words") == 1

    def test_a_file_of_another_kind_is_bad_input(self, run: Run, tmp_path: Path):
        with pytest.raises(AuditError, match=r"\.eval or a \.json"):
            write_inspect_log(run, tmp_path / "x.txt", texts=None)


@pytest.mark.slow
def test_mlflow_keeps_the_numbers_and_the_findings(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow
    import mlflow.artifacts

    mlflow.set_tracking_uri((tmp_path / "mlflow").as_uri())
    made = mlflow.get_run(trackers.to_mlflow(run, "refusal"))
    assert made.data.metrics == pytest.approx(numbers(run))
    assert made.data.params["identity"] == run.manifest.identity
    artifact = mlflow.artifacts.download_artifacts(
        run_id=made.info.run_id, artifact_path="findings.json"
    )
    assert Path(artifact).read_bytes() == (run.folder / "findings.json").read_bytes()


@pytest.mark.slow
def test_wandb_keeps_the_numbers_offline(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    name = trackers.to_wandb(run, "refusal")
    (folder,) = (tmp_path / "wandb").glob(f"offline-run-*-{name}")
    assert (folder / "files" / "findings.json").exists()


def test_a_tracker_that_is_not_installed_is_named(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(AuditError, match=r"pip install 'sae-audit\[mlflow\]'"):
        trackers.to_mlflow(run, "x")


class TestCommand:
    def said(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *arguments: str,
        code: int = 0,
    ) -> str:
        monkeypatch.setattr(sys, "argv", ["sae-audit", "export", *arguments])
        with pytest.raises(SystemExit) as done:
            main()
        printed = capsys.readouterr()
        assert done.value.code == code, printed.err
        return printed.out + printed.err

    def test_tables_are_written_beside_the_run_which_stays_as_it_is(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
        said = self.said(monkeypatch, capsys, str(run.folder), "--to", "csv")
        assert f"{len(TABLES)} tables" in said
        assert (run.folder.parent / "run-csv" / "scores.csv").is_file()
        assert {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} == before

    def test_a_model_card_goes_to_the_screen_or_a_file(
        self,
        run: Run,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ):
        shown = self.said(monkeypatch, capsys, str(run.folder), "--to", "model-card")
        file = tmp_path / "card.md"
        self.said(monkeypatch, capsys, str(run.folder), "--to", "model-card", "--out", str(file))
        assert file.read_text() == shown == model_card.model_card_section(run)

    def test_words_are_for_inspect_alone_and_only_of_the_run_s_own_prompts(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        asked = (str(run.folder), "--with-texts", "--to")
        assert "is for --to inspect" in self.said(monkeypatch, capsys, *asked, "csv", code=2)
        said = self.said(monkeypatch, capsys, *asked, "inspect", code=2)
        assert "Traceback" not in said
