"""One invented run, for all tests that only read it."""

import pytest

from sae_audit.record.run import Run
from sae_audit.report.page import render
from tests.synthetic.runs import synthetic_run
from tests.visible import seen


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return synthetic_run(tmp_path_factory.mktemp("read_only") / "run")


@pytest.fixture(scope="session")
def text(run: Run) -> str:
    """What a reader sees of its page."""
    return seen(render(run))
