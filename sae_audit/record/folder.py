"""The run folder: reserved, begun, resumed, finished.

config.yaml    complete, re-runnable        manifest.json  versions, hashes, cost
run.sqlite     every record                 findings.json  the published form
tensors/       means and direction          index.html     the report

A run that replaces another (`--overwrite`) is made in the folder `.new-run` inside, and moved out of
it, file by file, when it is finished.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError
from safetensors.numpy import save

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings.stages import TENSOR_FILES, tensors_of
from sae_audit.record import layout
from sae_audit.record.facts import Manifest
from sae_audit.record.findings_file import Findings
from sae_audit.record.identity import RunIdentity
from sae_audit.record.layout import BESIDE, CONFIG, FINDINGS, MANIFEST, PAGES, STORE
from sae_audit.record.lock import locked
from sae_audit.record.reading import read_facts
from sae_audit.record.store import Store
from sae_audit.untrusted import read_yaml, shown


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folder of a run, and the folder in which it is made until it is finished."""

    target: Path
    making: Path
    """The target itself; a folder inside it for a run that replaces another."""
    facts: Mapping[str, str]
    """Facts of the run begun there; empty if none was."""

    @property
    def is_beside(self) -> bool:
        return self.making != self.target


@contextmanager
def reserved(target: Path, *, overwrite: bool) -> Iterator[Place]:
    """Reserve the folder for this process inside the block.

    The folder then exists, can be written to, and is empty or holds a run; folders made for it are
    removed again if they stay empty. A finished run that is not to be replaced is read without
    reserving.

    Raises:
        AuditError: the folder is in use, holds other files, or cannot be written to.
    """
    if not overwrite and is_finished(target):
        yield Place(target=target, making=target, facts=read_facts(target))
        return
    _check_target(target)
    made = _made(target)
    try:
        with locked(target):
            yield _place(target, overwrite=overwrite)
    finally:
        for folder in reversed(made):
            # It is not empty and stays.
            with suppress(OSError):
                folder.rmdir()


def _check_target(target: Path) -> None:
    try:
        if not target.exists() and not target.is_symlink():
            return
        if not target.is_dir():
            raise AuditError(f"{shown(target)} is no folder; name a folder with --out.")
        for folder in (target, target / BESIDE):
            layout.check_nothing_in_the_way(folder)
        if (target / STORE).is_file():
            return
        foreign = sorted(
            entry.name
            for entry in target.iterdir()
            if not layout.is_written_by_runs(entry.name) and not _is_no_content(entry.name)
        )
    except (OSError, ValueError) as error:
        # ValueError: a name that holds a NUL.
        reason = getattr(error, "strerror", None) or error
        raise AuditError(f"{shown(target)} cannot be used: {reason}.") from error
    if foreign:
        raise AuditError(
            f"{shown(target)} holds files that are no audit ({shown(foreign[0], 60)}); name another "
            "folder with --out."
        )


def _is_no_content(name: str) -> bool:
    """Whether the name is a hidden file's, or one that a fresh file system holds."""
    return name.startswith(".") or name == "lost+found"


def _made(target: Path) -> list[Path]:
    missing: list[Path] = []
    folder = target
    with layout.disk_errors(target):
        while not folder.exists():
            missing.insert(0, folder)
            folder = folder.parent
        try:
            for one in missing:
                one.mkdir(exist_ok=True)
        except FileNotFoundError as error:
            raise AuditError(
                f"{shown(target)} cannot be made; name another folder with --out."
            ) from error
    return missing


def _place(target: Path, *, overwrite: bool) -> Place:
    beside = target / BESIDE
    if overwrite:
        return Place(target=target, making=beside, facts=_begun(beside, replaceable=True))
    facts = _begun(target, replaceable=False)
    if not facts and (begun := _begun(beside, replaceable=True)):
        # An interrupted --overwrite that had nothing to overwrite.
        return Place(target=target, making=beside, facts=begun)
    return Place(target=target, making=target, facts=facts)


def _begun(folder: Path, *, replaceable: bool) -> dict[str, str]:
    """The facts of the run begun in this folder; empty if none has recorded its identity.

    It is opened for writing, which repairs what a killed process left half-written.
    """
    if not (folder / STORE).exists() and not (folder / STORE).is_symlink():
        return {}
    try:
        store = Store(folder / STORE)
    except AuditError:
        if replaceable:
            return {}
        raise
    try:
        facts = store.facts()
    finally:
        store.close()
    return facts if "identity" in facts else {}


def check_same(place: Place, identity: RunIdentity) -> None:
    """Refuse to continue a run that was begun with other inputs.

    A run that is being made beside another is given up for the new one.

    Raises:
        AuditError: the folder holds another audit; says what differs.
    """
    if not place.facts or place.facts["identity"] == identity.sha256:
        return
    if place.is_beside:
        return
    differing = identity.difference(place.facts.get("identity_parts", ""))
    raise AuditError(
        f"{shown(place.target)} holds an audit with other {differing}; name another folder with --out, "
        "or replace it with --overwrite."
    )


def is_finished(folder: Path) -> bool:
    """Whether the record says that the run is finished, and all files are there."""
    try:
        return "finished" in read_facts(folder) and all((folder / p).is_file() for p in PAGES)
    except (AuditError, OSError, ValueError):
        # Opening it for writing, or reading it, says what is wrong.
        return False


def begun_config(place: Place) -> AuditConfig | None:
    """The settings of the run that was begun in this folder, if this version can read them."""
    file = place.making / CONFIG
    if not place.facts or not file.is_file():
        return None
    try:
        return AuditConfig.model_validate(read_yaml(file))
    except (AuditError, ValidationError):
        return None


def begin(folder: Path, config: AuditConfig, identity: RunIdentity, command: str) -> Store:
    """The folder's store: resumed, or new if nothing, or another run, was begun.

    Raises:
        AuditError: the folder cannot be written to.
        AuditStoppedError: the disk is full.
    """
    store = _own_store(folder, identity)
    try:
        layout.make_tensor_folder(folder)
        if store.fact("identity") is None:
            write_config(config, folder / CONFIG)
            store.set_facts(
                {
                    "identity": identity.sha256,
                    "identity_parts": identity.as_json,
                    "started": now(),
                    "command": command,
                }
            )
    except BaseException:
        store.close()
        raise
    return store


def _own_store(folder: Path, identity: RunIdentity) -> Store:
    with layout.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        store = Store(folder / STORE)
    except AuditError:
        if folder.name != BESIDE:
            raise
    else:
        if store.fact("identity") in (None, identity.sha256):
            return store
        store.close()
        assert folder.name == BESIDE, f"{folder} holds another run"
    layout.discard(folder)
    with layout.disk_errors(folder):
        folder.mkdir(exist_ok=True)
    return Store(folder / STORE)


def finish(place: Place, store: Store) -> None:
    """Mark the run finished, move it to its place, and close the store."""
    tensors = tensors_of(store.stages())
    store.set_fact("finished", store.fact("finished") or now())
    store.close()
    if place.is_beside:
        layout.swap_in(place.making, place.target, tensors=tensors)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_config(config: AuditConfig, path: Path) -> None:
    # Whether a checkpoint's code may run is decided by whoever runs it, not by a file.
    settings = config.model_dump(mode="json", exclude={"trust_remote_code"})
    layout.write_file(path, yaml.safe_dump(settings, sort_keys=False).encode())


def write_tensors(folder: Path, name: str, tensors: Mapping[str, np.ndarray]) -> None:
    assert name in TENSOR_FILES, f"{name} is no name that a run deletes again"
    arrays = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    place = layout.make_tensor_folder(folder)
    layout.write_file(place / layout.tensor_file(name), save(arrays))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    layout.write_file(folder / MANIFEST, (manifest.model_dump_json(indent=1) + "\n").encode())


def write_findings(folder: Path, findings: Findings) -> None:
    layout.write_file(folder / FINDINGS, (findings.model_dump_json(indent=1) + "\n").encode())
