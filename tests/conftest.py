"""Shape annotations are checked in every test run; tiny models are made once a session."""

import os

# One thread a test process: the models are so small that threads only get in each other's way.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from jaxtyping import install_import_hook

import tests.typechecker  # noqa: F401  the hook names it, and does not import it

install_import_hook("sae_audit", "tests.typechecker.checked")

from pathlib import Path

import pytest
import torch

from sae_audit.subject import Subject, load_subject
from tests import tiny

torch.set_num_threads(1)


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
