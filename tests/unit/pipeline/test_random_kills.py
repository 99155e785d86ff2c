"""Killed at any moment of its work, an audit goes on and ends with the same bytes."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sae_audit import audit
from sae_audit.config import AuditConfig
from sae_audit.subject.model.cost import CostMeter
from tests.unit.pipeline.conftest import Undisturbed
from tests.unit.pipeline.test_kills import ROOT, Allowance, Killed, check_same

pytestmark = pytest.mark.usefixtures("several_groups", "tried_before")


def killed_at_random_passes(
    config: AuditConfig, folder: Path, patch: pytest.MonkeyPatch, *, n_kills: int, seed: int
) -> int:
    allowance, moments, n_killed = Allowance(), random.Random(seed), 0
    allowance.before(CostMeter, "count", patch)
    for _ in range(n_kills):
        # Mostly short, so that there are many; sometimes long enough for the longest piece.
        allowance.left = moments.choice([3, 10, 30, 150]) * moments.random()
        try:
            audit(config, folder)
        except Killed:
            n_killed += 1
        else:
            break
    allowance.left = float("inf")
    audit(config, folder)
    return n_killed


def test_killed_at_random_moments(
    config: AuditConfig, undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    n = killed_at_random_passes(config, tmp_path / "run", monkeypatch, n_kills=8, seed=0)
    assert n > 4
    check_same(tmp_path / "run", undisturbed)


@pytest.mark.slow
def test_killed_at_fifty_random_moments(
    config: AuditConfig, undisturbed: Undisturbed, tmp_path: Path
):
    n_killed = seed = 0
    while n_killed < 50:
        folder = tmp_path / str(seed)
        with pytest.MonkeyPatch.context() as patch:
            n_killed += killed_at_random_passes(config, folder, patch, n_kills=25, seed=seed)
        check_same(folder, undisturbed)
        seed += 1


@pytest.mark.slow
def test_ten_real_kills(config: AuditConfig, tmp_path: Path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))

    def killed(name: str, seed: int, n_kills: int) -> int:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.unit.pipeline.killing"),
                *(str(tmp_path / "config.yaml"), str(tmp_path / name), str(seed), str(n_kills)),
            ],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout.split()[-1])

    assert killed("undisturbed", 0, 0) == 0
    folder = tmp_path / "undisturbed"
    findings = (folder / "findings.json").read_bytes()
    undisturbed = Undisturbed(folder=folder, findings=findings, steps=[])
    n_killed = seed = 0
    while n_killed < 10:
        seed += 1
        n_killed += killed(f"run-{seed}", seed, 10)
        check_same(tmp_path / f"run-{seed}", undisturbed)
