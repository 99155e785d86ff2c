"""Checks of a file before it is opened as a run's store, of its schema, and limits while it is open."""

import sqlite3
import stat
import time
from pathlib import Path

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

FORMAT = 4
"""Version of the record, in the file's `user_version`; 0 in records older than this number."""
SCHEMA = {
    "facts": "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "records": (
        "CREATE TABLE records (stage TEXT NOT NULL, key TEXT NOT NULL, payload TEXT NOT NULL, "
        "forward_passes INTEGER NOT NULL, tokens INTEGER NOT NULL, seconds REAL NOT NULL, "
        "PRIMARY KEY (stage, key))"
    ),
}
"""Every table, by the statement that made it."""

STORE_BYTES = 2 << 30
"""Bytes of the largest store that is opened: the organism's has some 2 MB."""
ROW_BYTES = 128 << 20
"""Bytes of the largest row."""
N_ROWS = 1_000_000
_SECONDS = 60.0
"""Seconds that all questions to a stranger's file may take together."""
_STEPS = 100_000
_MAGIC = b"SQLite format 3\0"
_JOURNAL_OF_SEVERAL = bytes.fromhex("d9d505f920a163d7")
"""End of a journal that names another file, which sqlite deletes once the journal is rolled back."""


def check_file(path: Path) -> bool:
    """Whether there is a store; False if there is no file, or an empty one.

    Raises:
        AuditError: a link, a pipe, a folder, too large, or no file of sqlite's.
    """
    try:
        about = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise AuditError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(about.st_mode):
        raise AuditError(
            f"{shown(path)} is a link, a folder or a device; a run's record is a file of its own."
        )
    if about.st_size > STORE_BYTES:
        raise AuditError(
            f"{shown(path)} has {about.st_size / 1e9:.1f} GB; a record of at most "
            f"{STORE_BYTES / 1e9:.1f} GB is read."
        )
    if about.st_size == 0:
        return False
    _check_header(path, about.st_size)
    return True


def _check_header(path: Path, n_bytes: int) -> None:
    try:
        with path.open("rb") as stream:
            header = stream.read(100)
    except OSError as error:
        raise AuditError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    if len(header) < 100 or not header.startswith(_MAGIC):
        raise AuditError(f"{shown(path)} is no record of an audit (no sqlite file); audit again.")
    if header[18:20] != b"\1\1":
        raise AuditError(
            f"{shown(path)} keeps its changes in another file (WAL), which no run does; audit again."
        )
    if has_journal(path):
        # Killed while it was written: sqlite will repair it.
        return
    page = int.from_bytes(header[16:18], "big")
    if n_bytes < (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big"):
        raise AuditError(f"{shown(path)} is cut off; fetch the run again, or audit again.")


def has_journal(path: Path) -> bool:
    """Whether a process was killed while it wrote this store.

    Raises:
        AuditError: the journal is not one that a run leaves.
    """
    journal = path.with_name(f"{path.name}-journal")
    try:
        about = journal.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise AuditError(f"{shown(journal)} is a link, a folder or a device; remove it.")
        with journal.open("rb") as stream:
            stream.seek(max(0, about.st_size - len(_JOURNAL_OF_SEVERAL)))
            ends_with = stream.read()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise AuditError(f"{shown(journal)} cannot be read: {error.strerror}.") from error
    if ends_with == _JOURNAL_OF_SEVERAL:
        raise AuditError(f"{shown(journal)} names other files, as no run's does; remove it.")
    return about.st_size > 0


def restrict(connection: sqlite3.Connection) -> None:
    """Limit what a file, whoever made it, can make sqlite do."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def limit_time(connection: sqlite3.Connection) -> None:
    """Limit all further questions together to a minute."""
    end = time.monotonic() + _SECONDS
    connection.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS)


def check_schema(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the tables are there; False if the file is empty.

    Raises:
        AuditError: another version's record, or anything but our two tables: a view, a trigger, a
            virtual table, other columns.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    if not found and version == 0:
        return False
    if version != FORMAT:
        raise AuditError(
            f"{shown(path)} was written by another version of sae-audit (record format {version}, this "
            f"one reads {FORMAT}); audit again, into another folder (--out) or with --overwrite."
        )
    made = {name: sql for kind, name, sql in found if (kind, sql) != ("index", None)}
    if made != SCHEMA:
        odd = next(iter(sorted(made.items() ^ SCHEMA.items())))[0]
        raise AuditError(
            f"{shown(path)} is no record of an audit: {shown(odd)} is not as a run makes it."
        )
    return True
