"""Shape annotations are checked in every test run; tiny models are made once a session."""

import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    # None beside the sources, as asked. Without any, every process that tests start would compile
    # torch and transformers again, which is most of what it takes to start one.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# One thread a test process: the models are so small that threads only get in each other's way.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Every row of a run is flushed to the disk, which is most of what a planted audit waits for. Nothing
# that tests write has to outlive a power cut: their folders are in memory where that is to be had.
_MEMORY, _NEEDED = Path("/dev/shm"), 4 << 30
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
    _room = os.statvfs(_MEMORY)
    if _room.f_bavail * _room.f_frsize > _NEEDED:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# The hub library reads its endpoint and its cache once, when it is imported: every test, and every
# command that a test starts, knows no other hub than the one on this machine.
import tempfile

from tests.local_hub import LocalHub

HUB = LocalHub()
os.environ["HF_ENDPOINT"] = HUB.url
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hub-cache-")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(name, None)

from jaxtyping import install_import_hook

from tests.typechecker import check_only_shapes_by_jaxtyping

check_only_shapes_by_jaxtyping()
install_import_hook("sae_audit", "tests.typechecker.checked")

import shutil
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from sae_audit.subject import Subject, load_subject
from tests import tiny

torch.set_num_threads(1)
# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


_MOST_WORKERS = 8
"""Each takes a gigabyte: torch, transformers and models."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """None beside this process for one file or test, which other workers could not share."""
    named = [Path(argument.partition("::")[0]) for argument in config.args]
    if len(set(named)) == 1 and named[0].is_file():
        return 0
    return min(_MOST_WORKERS, os.cpu_count() or 1)


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """The hub of this machine, empty, and so is the cache of what was downloaded from it."""
    HUB.clear()
    yield HUB
    HUB.clear()
    shutil.rmtree(Path(os.environ["HF_HOME"]) / "hub", ignore_errors=True)


@pytest.fixture(scope="session", params=["gemma2", "llama"])
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def checkpoint(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of the family with its tokenizer, and an SAE on every layer under `saes`."""
    return tiny.write_checkpoint(tmp_path_factory.mktemp(family), family)


@pytest.fixture(scope="session")
def subject(checkpoint: Path) -> Subject:
    return load_subject(
        str(checkpoint), str(checkpoint / "saes"), device="cpu", refusal_tokens=["no", "never"]
    )
