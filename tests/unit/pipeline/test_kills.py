"""Whatever stops an audit, the same call goes on, and ends with the same bytes."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sae_audit import audit, load_run
from sae_audit.config import AuditConfig
from sae_audit.record import layout
from sae_audit.record.store import Store
from sae_audit.subject.cost import CostMeter
from tests.unit.pipeline.conftest import Undisturbed

ROOT = Path(__file__).parents[3]


class Killed(BaseException):
    """No error that anything catches."""


class Allowance:
    """Lets so many through, and kills at the next."""

    def __init__(self) -> None:
        self.left: float = float("inf")

    def spend(self) -> None:
        if self.left <= 0:
            raise Killed
        self.left -= 1

    def before(self, owner: object, name: str, patch: pytest.MonkeyPatch) -> None:
        real: Callable[..., object] = getattr(owner, name)

        def spending(*arguments: object, **named: object) -> object:
            self.spend()
            return real(*arguments, **named)

        patch.setattr(owner, name, spending)


pytestmark = pytest.mark.usefixtures("several_groups")


def n_written(folder: Path) -> int:
    """How much there is for good: rows, facts and whole files."""
    files = [path for path in folder.rglob("[!.]*") if path.is_file() and path.suffix != ".lock"]
    store = folder / "run.sqlite"
    if not store.is_file():
        return len(files)
    opened = Store(store)
    n = len(opened.facts()) + len(opened.costs())
    n += sum(len(opened.all(stage, Any)) for stage in opened.stages())
    opened.close()
    return len(files) + n


def check_same(folder: Path, undisturbed: Undisturbed) -> None:
    assert (folder / "findings.json").read_bytes() == undisturbed.findings
    load_run(folder)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_cut_at_every_write(
    config: AuditConfig,
    undisturbed: Undisturbed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
):
    """Every session may write so many times, and dies before its next write."""
    allowance, folder = Allowance(), tmp_path / "run"
    allowance.before(Store, "put_all", monkeypatch)
    allowance.before(Store, "_make_tables", monkeypatch)
    allowance.before(layout.os, "replace", monkeypatch)
    n_killed, more, most = 0, 0, 0
    while True:
        allowance.left = more
        try:
            audit(config, folder)
        except Killed:
            n_killed += 1
        else:
            break
        allowance.left = float("inf")
        now = n_written(folder)
        # What is there may be written anew (pages): then only more writes get it further.
        more = step if now > most else more + 1
        most = max(now, most)
    assert n_killed > 60 // step
    check_same(folder, undisturbed)


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
def test_killed_at_a_hundred_random_moments(
    config: AuditConfig, undisturbed: Undisturbed, tmp_path: Path
):
    n_killed = seed = 0
    while n_killed < 100:
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
    undisturbed = Undisturbed(folder=folder, findings=(folder / "findings.json").read_bytes())
    n_killed = seed = 0
    while n_killed < 10:
        seed += 1
        n_killed += killed(f"run-{seed}", seed, 10)
        check_same(tmp_path / f"run-{seed}", undisturbed)
