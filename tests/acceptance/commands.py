"""The command as a test calls it: in a process of its own, or inside this one."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a shell starts it: seconds of imports, so only where the process itself is the promise."""
    return subprocess.run(
        [sys.executable, "-m", "sae_audit", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


class Inside(Protocol):
    """The fixture `inside`: the same arguments, and the same three things to look at."""

    def __call__(self, *arguments: str, cwd: Path) -> Done: ...
