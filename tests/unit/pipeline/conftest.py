"""A planted model and the audit of it that nothing stopped; made once for all processes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sae_audit import audit
from sae_audit.config import AuditConfig
from sae_audit.pipeline import session
from sae_audit.subject import loading
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from tests.shared import made_once
from tests.unit.pipeline.planted_audit import planted_config


@pytest.fixture
def several_groups() -> Iterator[None]:
    """Searches of two prompts at a time, so that a kill falls between groups too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_TOGETHER", 2)
        yield


@pytest.fixture
def tried_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is not tried again each time it is opened, which is most of what that costs."""
    monkeypatch.setattr(loading, "refuse_architecture", lambda _config: None)
    monkeypatch.setattr(loading, "check_structure", lambda *_: 0.0)
    monkeypatch.setattr(Checkpoint, "check_headers", lambda *_: True)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> AuditConfig:
    """Of a planted model, which stays as it is."""

    def make(folder: Path) -> None:
        folder.mkdir()
        by_text = {"more_sets_budget": 6, "certify": "text"}
        config = planted_config(folder / "it", minimal=by_text)
        (folder / "config.json").write_text(config.model_dump_json())

    made = made_once(tmp_path_factory, "planted", make)
    return AuditConfig.model_validate_json((made / "config.json").read_text())


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    folder: Path
    findings: bytes
    steps: list[str]
    """Names of the steps that reported progress, each as often as it did."""


def _steps_beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-steps.json")


@pytest.fixture(scope="session")
def undisturbed(config: AuditConfig, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "_TOGETHER", 2)
            steps: list[str] = []
            run = audit(config, folder, progress=lambda step, *_: steps.append(step.name))
        _steps_beside(folder).write_text(json.dumps(steps))
        late = {
            "minimal_set_families",
            "flip_scales",
            "cascades",
            "edges",
            "controls",
            "text_sets",
            "confirmation",
        }
        assert late <= set(run.recorded.rows), "every stage runs"
        assert any(found.flipped for found in run.minimal_sets)

    folder = made_once(tmp_path_factory, "undisturbed", make)
    return Undisturbed(
        folder=folder,
        findings=(folder / "findings.json").read_bytes(),
        steps=json.loads(_steps_beside(folder).read_text()),
    )
