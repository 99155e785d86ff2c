"""One process in one run folder at a time."""

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
    """Inside the block no other process writes into this folder; its end, or death, lets go.

    Raises:
        AuditError: another process is in there, or the folder cannot be written to.
    """
    path = folder / LOCK
    descriptor = _acquired(path)
    try:
        yield
    finally:
        # Taken away while it is held, so that nobody's new one is.
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
        # Its holder took it away between our opening and locking it.
        os.close(descriptor)


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False
