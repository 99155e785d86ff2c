"""The names of a run's files, and how files get there: written under another name, then renamed.

Nobody ever reads half a file, nothing is written through a symbolic link, and only these are deleted.
"""

import errno
import os
import sqlite3
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from sae_audit.errors import AuditError, AuditStoppedError
from sae_audit.findings.stages import TENSOR_FILES
from sae_audit.untrusted import shown

STORE = "run.sqlite"
CONFIG = "config.yaml"
MANIFEST = "manifest.json"
FINDINGS = "findings.json"
PAGE = "index.html"
TENSORS = "tensors"
LOCK = "run.lock"
BESIDE = ".new-run"
"""Name of the folder, inside a run's own, in which its replacement is made."""

PAGES = (CONFIG, MANIFEST, FINDINGS, PAGE)
JOURNALS = tuple(f"{STORE}-{kind}" for kind in ("journal", "wal", "shm"))
_FULL = {errno.ENOSPC, errno.EDQUOT}
_USERS = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EEXIST, errno.EINVAL),
}
"""Errors that running again does not remove."""


def tensor_file(name: str) -> str:
    return f"{name}.safetensors"


def written_beside(name: str) -> str:
    """Name of a file until it is whole."""
    return f".{name}.tmp"


def write_file(path: Path, content: bytes) -> None:
    """Replace a file by `content`, written to the disk in whole before it gets its name.

    Raises:
        AuditError: the place cannot be written to.
        AuditStoppedError: the disk is full or broken, or the folder is gone.
    """
    beside = path.with_name(written_beside(path.name))
    with disk_errors(path):
        with suppress(FileNotFoundError):
            beside.unlink()
        # O_EXCL: a link put there meanwhile under that name is not followed.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, path)
        except OSError:
            # Half a file would keep a full disk full.
            with suppress(OSError):
                beside.unlink()
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some file systems cannot do this for folders.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of the disk inside the block into one sentence.

    Raises:
        AuditError: the user must change something: no permission, a folder of that name.
        AuditStoppedError: running again may help: no space, a folder that is gone.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(path, error) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in _FULL:
            raise AuditStoppedError(_no_space(path)) from error
        if error.errno in _USERS:
            raise AuditError(
                f"{shown(path)} cannot be written: {reason}; make it writable, or name another "
                "folder with --out."
            ) from error
        raise AuditStoppedError(f"{shown(path)} cannot be written: {reason}.") from error


def make_folder(folder: Path) -> None:
    """Make the folder, and those above it that are missing.

    Raises:
        AuditError: it cannot be made there.
        AuditStoppedError: no space.
    """
    with disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:
            # Some file systems (/proc) hold no folders but their own, and say it like this.
            raise AuditError(
                f"{shown(folder)} cannot be made; name another folder with --out."
            ) from error


def _of_sqlite(path: Path, error: sqlite3.Error) -> AuditError | AuditStoppedError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return AuditStoppedError(_no_space(path))
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return AuditError(
            f"{shown(path)} is damaged ({error}); name another folder with --out, or replace the "
            "audit with --overwrite."
        )
    return AuditStoppedError(f"{shown(path)} cannot be written: {error}.")


def _no_space(path: Path) -> str:
    return f"No space is left on the disk of {shown(path)}; free some. What was recorded is kept."


def check_nothing_in_the_way(folder: Path) -> None:
    """Refuse a folder in which something else has the name of one of a run's files or folders.

    Raises:
        AuditError: names it.
    """
    files = [tensor_file(name) for name in TENSOR_FILES]
    replaced = (*PAGES, *(f"{TENSORS}/{name}" for name in files))
    beside = (*map(written_beside, PAGES), *(f"{TENSORS}/{written_beside(f)}" for f in files))
    for name in (STORE, *replaced, *beside):
        if (folder / name).is_dir() and not (folder / name).is_symlink():
            _refuse(folder / name, "is a folder, and an audit writes a file of that name")
    for name in (*JOURNALS, LOCK):
        if os.path.lexists(folder / name) and not stat.S_ISREG((folder / name).lstat().st_mode):
            _refuse(folder / name, "is no file, and an audit writes one of that name")
    tensors = folder / TENSORS
    if tensors.exists() and not tensors.is_dir():
        _refuse(tensors, "is a file, and an audit keeps a folder of that name")
    made = folder / BESIDE
    # Its content is moved and deleted: behind a link it would be another folder's.
    if os.path.lexists(made) and (made.is_symlink() or not made.is_dir()):
        _refuse(made, "is a link or a file, and an audit makes a folder of that name")


def _refuse(path: Path, why: str) -> NoReturn:
    raise AuditError(f"{shown(path)} {why}; remove it, or name another folder with --out.")


def make_tensor_folder(folder: Path) -> Path:
    """The run's own folder of tensors; a link of that name is replaced, not followed."""
    tensors = folder / TENSORS
    with disk_errors(tensors):
        if tensors.is_symlink():
            tensors.unlink()
        tensors.mkdir(exist_ok=True)
    return tensors


def is_written_by_runs(name: str) -> bool:
    """Whether a run writes a file or folder of this name into its folder."""
    own = {STORE, *PAGES, *JOURNALS, TENSORS, LOCK, BESIDE}
    return name in own or name in {written_beside(page) for page in PAGES}


def discard(folder: Path) -> None:
    """Delete a run's files from this folder, and the folder if nothing else is in it."""
    tensors = folder / TENSORS
    with disk_errors(folder):
        names = [tensor_file(name) for name in TENSOR_FILES]
        if tensors.is_dir() and not tensors.is_symlink():
            _delete(tensors, [*names, *(written_beside(name) for name in names)])
            _delete_empty(tensors)
        # The store first: without it the rest is no run.
        _delete(folder, [STORE, *JOURNALS, *PAGES, *(written_beside(page) for page in PAGES)])
        _delete_empty(folder)


def swap_in(beside: Path, folder: Path, *, tensors: Collection[str]) -> None:
    """Move a finished run from `beside` into the folder, file by file, its store last.

    `tensors` are its tensor files. After a kill in between, the same call moves the rest.
    """
    with disk_errors(folder):
        place = make_tensor_folder(folder)
        for name in TENSOR_FILES:
            if name in tensors:
                _move(beside / TENSORS, place, tensor_file(name))
            else:
                _delete(place, [tensor_file(name)])
        for page in PAGES:
            _move(beside, folder, page)
        # A journal belongs to the store next to it, and would spoil the new one.
        _delete(folder, JOURNALS)
        _move(beside, folder, STORE)
        sync_folder(folder)
    discard(beside)


def _move(source: Path, target: Path, name: str) -> None:
    with suppress(FileNotFoundError):
        os.replace(source / name, target / name)


def _delete(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            (folder / name).unlink()


def _delete_empty(folder: Path) -> None:
    # Not empty: other files are in it, and stay.
    with suppress(OSError):
        folder.rmdir()
