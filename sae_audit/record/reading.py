"""A run's store, which may come from anyone, read whole and never written.

Everything is read and checked at once, so that a bad row is a sentence when a run is opened, not a
traceback in the middle of a page.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

from sae_audit.errors import AuditError
from sae_audit.findings.stages import ABSENCE, STAGE_OF, OfRun, Stage
from sae_audit.record.facts import StageFacts
from sae_audit.record.layout import BESIDE, STORE
from sae_audit.record.opening import (
    N_ROWS,
    STORE_BYTES,
    check_file,
    check_schema,
    has_journal,
    limit_time,
    restrict,
)
from sae_audit.record.payloads import parsed
from sae_audit.untrusted import shown, unprintable

T = TypeVar("T")

_N_FACTS = 100


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The content of a store."""

    facts: Mapping[str, str]
    rows: Mapping[str, list[object]]
    """Objects by the name of their stage, in the order written."""
    costs: tuple[StageFacts, ...]

    def all(self, stage: Stage[T]) -> list[T]:
        """Every object of a stage, in the order written."""
        # Each was parsed as one of the stage's kinds.
        return cast(list[T], self.rows.get(stage.name, []))

    def found(self, stage: OfRun[T]) -> T | None:
        """The stage's finding; None if it has not run, or had nothing to do."""
        own = self.all(stage)
        assert len(own) <= 1, (stage.name, len(own))
        return own[0] if own else None

    def one(self, stage: OfRun[T]) -> T:
        """The finding of a stage that every such record has."""
        found = self.found(stage)
        assert found is not None, f"no {stage.name}"
        return found

    @property
    def stopped_early(self) -> bool:
        """Whether there is an absence for which the audit did not look for features."""
        absence = self.found(ABSENCE)
        return absence is not None and absence.kind.early

    @property
    def is_finished(self) -> bool:
        return "finished" in self.facts


def read_store(folder: Path) -> Recorded:
    """Everything that the run in this folder has recorded so far.

    Raises:
        AuditError: there is no record, or one that no run made.
    """
    with _opened(folder) as connection:
        path = folder / STORE
        facts = _facts(connection, path)
        found = connection.execute(
            "SELECT COUNT(*), SUM(LENGTH(CAST(payload AS BLOB))) FROM records"
        ).fetchone()
        if found[0] > N_ROWS or (found[1] or 0) > STORE_BYTES:
            raise AuditError(f"{shown(path)} holds {found[0]:,} rows, more than a run writes.")
        rows: dict[str, list[object]] = {}
        costs: dict[str, list[float]] = {}
        for row in connection.execute("SELECT * FROM records ORDER BY rowid"):
            stage, key, payload, *spent = _typed(row, path)
            what = f"{shown(path)}, stage {stage}, {shown(key)}:"
            rows.setdefault(stage, []).append(parsed(payload, STAGE_OF[stage].kind, what))
            total = costs.setdefault(stage, [0, 0, 0.0])
            costs[stage] = [a + b for a, b in zip(total, spent, strict=True)]
    return Recorded(
        facts=facts,
        rows=rows,
        costs=tuple(
            StageFacts(stage=stage, forward_passes=int(passes), tokens=int(tokens), seconds=seconds)
            for stage, (passes, tokens, seconds) in costs.items()
        ),
    )


def read_facts(folder: Path) -> dict[str, str]:
    """The facts of the run in this folder; empty if none was begun, or its process was killed while it
    wrote.

    Raises:
        AuditError: there is a store that no run made.
    """
    path = folder / STORE
    if not check_file(path) or has_journal(path):
        return {}
    with _opened(folder) as connection:
        return _facts(connection, path)


def own_file(path: Path) -> Path:
    """The path, if it is no link.

    Raises:
        AuditError: it is a symbolic link.
    """
    if path.is_symlink():
        raise AuditError(
            f"{shown(path)} is a symbolic link, which no run writes; copy the file there."
        )
    return path


@contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    path = folder / STORE
    if not check_file(path):
        if (folder / BESIDE).is_dir():
            raise AuditError(
                f"The audit in {shown(folder)} is not finished; run its command again and it resumes."
            )
        raise AuditError(
            f"{shown(folder)} holds no audit; give the folder that `sae-audit audit` wrote."
        )
    if has_journal(path):
        raise AuditError(
            f"{shown(path)} was being written when its process ended, or still is; run its command "
            "again, and it resumes."
        )
    try:
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path.absolute()))}?mode=ro", uri=True
        )
        try:
            restrict(connection)
            limit_time(connection)
            connection.execute("PRAGMA query_only = ON")
            if not check_schema(connection, path):
                raise AuditError(f"{shown(path)} is empty; run its command again.")
            _check_whole(connection, path)
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise AuditError(f"{shown(path)} takes longer than a minute to read.") from error
        raise AuditError(f"{shown(path)} cannot be read as a record: {shown(error)}.") from error


def _check_whole(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise AuditError(f"{shown(path)} is damaged: {shown(found)}.")


def _facts(connection: sqlite3.Connection, path: Path) -> dict[str, str]:
    found = connection.execute("SELECT name, value FROM facts LIMIT ?", (_N_FACTS + 1,)).fetchall()
    if len(found) > _N_FACTS:
        raise AuditError(f"{shown(path)} holds more facts than a run writes.")
    for name, value in found:
        if not isinstance(name, str) or not isinstance(value, str) or unprintable(value):
            raise AuditError(f"{shown(path)}: the fact {shown(name)} is no text.")
    return dict(found)


def _typed(row: tuple[Any, ...], path: Path) -> tuple[Any, ...]:
    stage, key, payload, passes, tokens, seconds = row
    if not (isinstance(stage, str) and stage in STAGE_OF):
        raise AuditError(f"{shown(path)} holds a stage that no audit has: {shown(stage)}.")
    fits = (
        isinstance(key, str)
        and unprintable(key) is None
        and isinstance(payload, str)
        and all(isinstance(n, int) and 0 <= n < 1 << 53 for n in (passes, tokens))
        and isinstance(seconds, int | float)
        and 0.0 <= seconds < 1e12
    )
    if not fits:
        raise AuditError(f"{shown(path)}, stage {stage}, {shown(key)}: no row that a run writes.")
    return row
