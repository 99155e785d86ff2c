"""Real audits, killed by the kernel: `python -m tests.unit.pipeline.killing CONFIG OUT SEED KILLS`.

The libraries take longer to import than such an audit runs, so one process imports them and every
audit is a fork of it.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import yaml

from sae_audit import audit
from sae_audit.config import AuditConfig

_LONGEST = 3.0
"""Seconds after which an audit is killed at the latest: an undisturbed one takes about as long."""


def main(config: Path, out: Path, seed: int, n_kills: int) -> int:
    """How many audits were killed before one was let through to its end."""
    torch.set_num_threads(1)
    settings = AuditConfig.model_validate(yaml.safe_load(config.read_text()))
    moments, n_killed = random.Random(seed), 0
    while n_killed < n_kills:
        child = os.fork()
        if child == 0:
            audit(settings, out)
            os._exit(0)
        time.sleep(moments.uniform(0.0, _LONGEST))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        n_killed += 1
    audit(settings, out)
    return n_killed


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))  # noqa: T201
