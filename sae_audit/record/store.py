"""`run.sqlite`: every record of a run, one row each, written in transactions.

A killed run keeps each row it had finished. Rows are found by stage and key (a prompt id, or a name),
so a resumed run skips their work. No row is deleted or replaced.
"""

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from sae_audit.errors import AuditError, AuditStoppedError
from sae_audit.findings.stages import Stage
from sae_audit.record.facts import StageFacts
from sae_audit.record.layout import disk_errors
from sae_audit.record.opening import FORMAT, SCHEMA, check_file, check_schema, restrict
from sae_audit.record.payloads import adapter, as_recorded
from sae_audit.untrusted import shown

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Cost of one row."""

    forward_passes: int
    tokens: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Row(Generic[T_co]):
    """One finished piece of work."""

    stage: Stage[T_co]
    key: str
    value: T_co
    spent: Spent

    @property
    def payload(self) -> str:
        """Raises:
        AuditError: a number in it is not finite.
        """
        found = adapter(self.stage.kind).dump_python(self.value, mode="json", round_trip=True)
        try:
            return json.dumps(found, allow_nan=False)
        except ValueError as error:
            raise AuditError(
                f"The stage {self.stage.name} ({shown(self.key)}) came to a number that is not finite; "
                "load the model with --dtype float32, or check the weights."
            ) from error


class Store:
    """The records of one run, open for writing."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            AuditError: there is a file that is no record of this version.
            AuditStoppedError: the disk is full.
        """
        self._path = path
        check_file(path)
        with disk_errors(path):
            self._connection = sqlite3.connect(path, isolation_level=None)
        try:
            with disk_errors(path):
                restrict(self._connection)
                self._make_tables()
                self._file = path.stat()
        except BaseException:
            self._connection.close()
            raise

    def _make_tables(self) -> None:
        if check_schema(self._connection, self._path):
            return
        with self._transaction():
            for statement in SCHEMA.values():
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        self._connection.close()

    def facts(self) -> dict[str, str]:
        with disk_errors(self._path):
            return dict(self._connection.execute("SELECT name, value FROM facts"))

    def fact(self, name: str) -> str | None:
        return self.facts().get(name)

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Record all of these facts, or none."""
        self.put_all([], facts=facts)

    def set_fact(self, name: str, value: str) -> None:
        self.set_facts({name: value})

    def get(self, stage: Stage[T], key: str) -> T | None:
        """The stored object; None if the work has not been done."""
        with disk_errors(self._path):
            row = self._connection.execute(
                "SELECT payload FROM records WHERE stage = ? AND key = ?", (stage.name, key)
            ).fetchone()
        return self._parsed(stage, key, row[0]) if row else None

    def all(self, stage: Stage[T]) -> list[T]:
        """Every object of a stage, in the order written."""
        with disk_errors(self._path):
            rows = self._connection.execute(
                "SELECT key, payload FROM records WHERE stage = ? ORDER BY rowid", (stage.name,)
            ).fetchall()
        return [self._parsed(stage, key, payload) for key, payload in rows]

    def stages(self) -> set[str]:
        """Names of the stages with a row."""
        with disk_errors(self._path):
            rows = self._connection.execute("SELECT DISTINCT stage FROM records").fetchall()
        return {stage for (stage,) in rows}

    def put(self, stage: Stage[T], key: str, value: T, spent: Spent) -> None:
        """Record one row."""
        self.put_all([Row(stage=stage, key=key, value=value, spent=spent)])

    def put_all(
        self, rows: Sequence[Row[object]], *, facts: Mapping[str, str] | None = None
    ) -> None:
        """Record all of these rows, or none if one fails.

        Raises:
            AuditError: a number is not finite.
            AuditStoppedError: the disk is full, or the folder was removed meanwhile.
        """
        values = [(row.stage.name, row.key, row.payload, *astuple(row.spent)) for row in rows]
        self.check_there()
        with disk_errors(self._path), self._transaction():
            self._connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", values)
            self._connection.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)", list((facts or {}).items())
            )

    def check_there(self) -> None:
        """Raises:
        AuditStoppedError: the file is no longer where it was opened, so that nothing would be kept.
        """
        try:
            if os.path.samestat(self._path.stat(), self._file):
                return
        except OSError:
            pass
        raise AuditStoppedError(
            f"{shown(self._path)} was removed or replaced while the audit ran, and what it held is gone."
        )

    def costs(self) -> tuple[StageFacts, ...]:
        """Cost of each stage, over all sessions of the run, in the order first written."""
        with disk_errors(self._path):
            rows = self._connection.execute(_COSTS).fetchall()
        return tuple(
            StageFacts(stage=stage, forward_passes=passes, tokens=tokens, seconds=seconds)
            for stage, passes, tokens, seconds in rows
        )

    def _parsed(self, stage: Stage[T], key: str, payload: str) -> T:
        what = f"{shown(self._path)}, stage {stage.name}, {shown(key)}:"
        return as_recorded(payload, stage.kind, what)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)


_COSTS = (
    "SELECT stage, SUM(forward_passes), SUM(tokens), SUM(seconds) FROM records "
    "GROUP BY stage ORDER BY MIN(rowid)"
)


class _Transaction:
    """Commit everything inside the block, or nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
