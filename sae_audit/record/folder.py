"""The run folder: begun, resumed, finished.

config.yaml    complete, re-runnable        manifest.json  versions, hashes, cost
run.sqlite     every record                 findings.json  the published form
tensors/       means and direction          index.html     the report
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.record.facts import Manifest
from sae_audit.record.schema import Findings
from sae_audit.record.store import Store

_NO_EFFECT_ON_NUMBERS = {"tokens_per_batch", "name"}


def identity(config: AuditConfig, version: str, hashes: list[str]) -> str:
    """Hash over all that decides the numbers: settings, version, weights and prompts.

    Settings that only change speed or captions are left out, so that a run may be resumed with
    another batch size.
    """
    settings = config.model_dump(mode="json", exclude=_NO_EFFECT_ON_NUMBERS)
    text = json.dumps([settings, version, hashes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_folder(folder: Path, run_identity: str, *, overwrite: bool) -> None:
    """Refuse to write into a folder that holds something else.

    Raises:
        AuditError: the folder holds another run or other files.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise AuditError(f"{folder} is a file; name a folder with --out.")
    if not any(folder.iterdir()):
        return
    if not (folder / "run.sqlite").is_file():
        raise AuditError(f"{folder} holds files that are no audit; name another folder with --out.")
    if overwrite:
        return
    store = Store(folder / "run.sqlite")
    found = store.fact("identity")
    store.close()
    if found != run_identity:
        raise AuditError(
            f"{folder} holds an audit with other settings, model, SAEs, prompts or version; name "
            "another folder with --out, or replace it with --overwrite."
        )


def is_finished(folder: Path) -> bool:
    return (folder / "findings.json").is_file() and (folder / "index.html").is_file()


def begun_config(folder: Path) -> AuditConfig | None:
    """The settings of the run that was begun in this folder, if this version can read them."""
    file = folder / "config.yaml"
    if not (folder / "run.sqlite").is_file() or not file.is_file():
        return None
    try:
        return AuditConfig.model_validate(yaml.safe_load(file.read_text()))
    except (yaml.YAMLError, ValidationError):
        return None


def begin(
    folder: Path, config: AuditConfig, run_identity: str, command: str, *, overwrite: bool
) -> Store:
    """Open the folder's store, new or resumed.

    Raises:
        AuditError: as `check_folder`.
    """
    check_folder(folder, run_identity, overwrite=overwrite)
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tensors").mkdir(exist_ok=True)
    store = Store(folder / "run.sqlite")
    if store.fact("identity") is None:
        write_config(config, folder / "config.yaml")
        store.set_fact("identity", run_identity)
        store.set_fact("started", now())
        store.set_fact("command", command)
    return store


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_config(config: AuditConfig, path: Path) -> None:
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def write_tensors(folder: Path, name: str, tensors: Mapping[str, np.ndarray]) -> None:
    arrays = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    save_file(arrays, folder / "tensors" / f"{name}.safetensors")


def read_tensors(folder: Path, name: str) -> dict[str, np.ndarray]:
    return load_file(folder / "tensors" / f"{name}.safetensors")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n")


def write_findings(folder: Path, findings: Findings) -> None:
    (folder / "findings.json").write_text(findings.model_dump_json(indent=1) + "\n")
