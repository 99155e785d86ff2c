"""A command that is told to stop says so in one sentence, and how to go on."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = ["--set", "prompts.train=16", "--set", "prompts.validation=4", "--set", "prompts.audit=4"]


@pytest.mark.slow
def test_an_interrupted_audit_ends_in_one_sentence(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "sae_audit", "audit", "organism", "--out", "run", *SMALL],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/run.sqlite")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    result, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert result == ""
    *progress, complaint = said.strip().splitlines()
    assert re.fullmatch(
        r"Stopped( at stage \d+ of \d+)?\. Run the same command again to go on\.", complaint
    )
    assert all(re.match(r"(\[ *\d+/\d+\] |Loading model)", line) for line in progress)
