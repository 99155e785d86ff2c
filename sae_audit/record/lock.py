"""A lock that admits one process at a time to a run folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sae_audit.errors import AuditError
from sae_audit.record.layout import LOCK, disk_errors
from sae_audit.untrusted import shown


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into this folder inside the block, or until this one dies.

    Raises:
        AuditError: another process is in there, or the folder cannot be written to.
    """
    path = folder / LOCK
    descriptor = _acquired(path)
    try:
        yield
    finally:
        # Removed while held, so that no other process's new lock is.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _acquired(path: Path) -> int:
    while True:
        with disk_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise AuditError(
                f"Another process ({shown(holder)}) is auditing into {shown(path.parent)}; wait for "
                "it, or name another folder with --out."
            ) from error
        except OSError:
            # Some network file systems have no locks; an audit works there without one.
            pass
        if _is_still_there(path, descriptor):
            try:
                with disk_errors(path):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, str(os.getpid()).encode())
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor
        # Its holder removed it between our opening and locking it.
        os.close(descriptor)


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False
