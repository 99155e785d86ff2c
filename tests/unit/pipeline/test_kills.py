"""Whatever stops an audit, the same call goes on, and ends with the same bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sae_audit import audit, load_run
from sae_audit.config import AuditConfig
from sae_audit.findings.stages import STAGE_OF
from sae_audit.record import layout
from sae_audit.record.store import Store
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


pytestmark = pytest.mark.usefixtures("several_groups", "tried_before")


def n_written(folder: Path) -> int:
    """How much there is for good: rows, facts and whole files."""
    files = [path for path in folder.rglob("[!.]*") if path.is_file() and path.suffix != ".lock"]
    store = folder / "run.sqlite"
    if not store.is_file():
        return len(files)
    opened = Store(store)
    n = len(opened.facts()) + len(opened.costs())
    n += sum(len(opened.all(STAGE_OF[name])) for name in opened.stages())
    opened.close()
    return len(files) + n


def check_same(folder: Path, undisturbed: Undisturbed) -> None:
    assert (folder / "findings.json").read_bytes() == undisturbed.findings
    load_run(folder)


@pytest.mark.parametrize("step", [pytest.param(4, marks=pytest.mark.slow), 7])
def test_cut_at_writes(
    config: AuditConfig,
    undisturbed: Undisturbed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
):
    """Every session may write so many times more, and dies before its next write."""
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
