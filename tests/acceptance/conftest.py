"""The command without the seconds that a process of its own takes to start."""

import sys
from pathlib import Path

import pytest

from sae_audit.cli.commands import main
from tests.acceptance.commands import Done, Inside


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The command inside this process: the same entry point."""

    def run_inside(*arguments: str, cwd: Path) -> Done:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["sae-audit", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as done:
            code = int(done.code or 0)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run_inside
