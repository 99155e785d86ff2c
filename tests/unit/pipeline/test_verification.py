"""A run is verified by other code than made it, and a falsified one is found out."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from sae_audit.cli import main
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.pipeline.verification import verify
from sae_audit.record.folder import write_findings
from sae_audit.record.publish import published
from sae_audit.record.run import Run, load_run
from tests.unit.pipeline.conftest import Undisturbed

pytestmark = pytest.mark.usefixtures("tried_before")

Falsify = Callable[[dict[str, Any]], None]


@pytest.fixture
def copied(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undisturbed.folder, tmp_path / "run"))


def falsified(folder: Path, change: Falsify) -> Run:
    """The run with each minimal set changed in the record, and published from it."""
    store = sqlite3.connect(folder / "run.sqlite")
    with store:
        rows = store.execute("SELECT key, payload FROM records WHERE stage = 'minimal_sets'")
        for key, payload in rows.fetchall():
            found = json.loads(payload)
            change(found)
            store.execute(
                "UPDATE records SET payload = ? WHERE stage = 'minimal_sets' AND key = ?",
                (json.dumps(found), key),
            )
    store.close()
    write_findings(folder, published(Run(folder)))
    return load_run(folder)


def test_an_honest_run_holds(undisturbed: Undisturbed):
    run = load_run(undisturbed.folder)
    flipped = [one.prompt_id for one in run.minimal_sets if one.flipped]
    seen: list[str] = []
    found = verify(run, n=100, seed=0, done=lambda one: seen.append(one.prompt_id))
    assert found.holds
    assert [one.prompt_id for one in found.rechecked] == seen == flipped
    assert found.n_certificates == len(flipped) > 1
    assert all(one.largest_difference < 1e-4 for one in found.rechecked)


def test_certificates_are_drawn_by_the_seed(undisturbed: Undisturbed):
    run = load_run(undisturbed.folder)
    drawn = {seed: verify(run, n=1, seed=seed).rechecked[0].prompt_id for seed in range(6)}
    assert len(set(drawn.values())) > 1
    assert verify(run, n=1, seed=0).rechecked[0].prompt_id == drawn[0]


def spare_one(found: dict[str, Any]) -> None:
    """Claim that a part of the set flips the prompt."""
    gone = found["features"].pop()
    without = found["score_without"]
    del without[f"L{gone[0]}/{gone[1]}" if isinstance(gone, list) else str(gone)]


def hold_one_more(found: dict[str, Any]) -> None:
    """Claim that a feature is needed which is not."""
    found["features"] = [*found["features"], [0, 0]]
    found["score_without"]["L0/0"] = 0.5


def other_score(found: dict[str, Any]) -> None:
    found["ablated_score"] -= 0.05


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spare_one, "the set does not flip it"),
        (hold_one_more, "the flip does not need L0/0"),
        (other_score, "a score differs by 0.05 nats"),
    ],
)
def test_a_falsified_certificate_does_not_hold(copied: Path, change: Falsify, said: str):
    found = verify(falsified(copied, change), n=2, seed=0)
    assert found.findings_match, "the record was falsified, not what is published of it"
    assert not found.holds
    assert all(said in one.reason for one in found.rechecked)


def test_findings_that_are_not_the_record_s_are_found_out_without_a_model(copied: Path):
    file = copied / "findings.json"
    findings = json.loads(file.read_text())
    findings["minimal_sets"][0]["ablated_score"] = -9.0
    file.write_text(json.dumps(findings))
    found = verify(load_run(copied), n=0, seed=0)
    assert not found.findings_match
    assert not found.holds


def placed_at(model: Path) -> Callable[[AuditConfig], AuditConfig]:
    return lambda config: config.model_copy(update={"model": str(model)})


def test_a_model_of_other_weights_is_refused_and_the_same_elsewhere_is_not(
    undisturbed: Undisturbed, tmp_path: Path
):
    run = load_run(undisturbed.folder)
    there = Path(shutil.copytree(run.config.model, tmp_path / "model"))
    assert verify(run, n=1, seed=0, places=placed_at(there)).holds
    weights = load_file(there / "model.safetensors")
    name = next(name for name in weights if name.endswith("mlp.down_proj.weight"))
    save_file(
        {**weights, name: weights[name] * 1.001}, there / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(AuditError, match="not those of the run: other model weights"):
        verify(run, n=1, seed=0, places=placed_at(there))


def test_the_command_says_so_by_its_exit_code(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def exit_code(*arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["sae-audit", "verify", *arguments])
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code

    assert exit_code(str(copied), "--recheck", "1", "--seed", "4") == 0
    said = capsys.readouterr().out
    assert "1 of 1 certificates hold, drawn from" in said
    assert "by seed 4" in said
    falsified(copied, other_score)
    assert exit_code(str(copied), "--recheck", "1") == 1
    assert "DOES NOT HOLD: a score differs by 0.05 nats" in capsys.readouterr().out
    assert exit_code(str(copied / "none")) == 2
