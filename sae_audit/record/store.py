"""`run.sqlite`: every record of a run, one row each, written in transactions.

A killed run keeps each row it had finished. A row is found by stage and key (a prompt id, or a
name), so a resumed run asks for it again and skips the work.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sae_audit.record.facts import StageFacts

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    stage TEXT NOT NULL,
    key TEXT NOT NULL,
    payload TEXT NOT NULL,
    forward_passes INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (stage, key)
);
"""


class Store:
    """The records of one run."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def fact(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_fact(self, name: str, value: str) -> None:
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def get(self, stage: str, key: str, kind: Any) -> Any:
        """The stored object of this kind (a class, or `list[X]`); None where the work has not been
        done."""
        row = self._connection.execute(
            "SELECT payload FROM records WHERE stage = ? AND key = ?", (stage, key)
        ).fetchone()
        return TypeAdapter(kind).validate_python(json.loads(row[0])) if row else None

    def all(self, stage: str, kind: Any) -> list[Any]:
        """Every object of a stage, in the order written."""
        rows = self._connection.execute(
            "SELECT payload FROM records WHERE stage = ? ORDER BY rowid", (stage,)
        )
        adapter = TypeAdapter(kind)
        return [adapter.validate_python(json.loads(payload)) for (payload,) in rows]

    def put(
        self,
        stage: str,
        key: str,
        kind: Any,
        value: Any,
        *,
        forward_passes: int,
        tokens: int,
        seconds: float,
    ) -> None:
        payload = json.dumps(TypeAdapter(kind).dump_python(value, mode="json"))
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)",
                (stage, key, payload, forward_passes, tokens, seconds),
            )

    def costs(self) -> tuple[StageFacts, ...]:
        """What each stage cost, over all sessions of the run, in the order first written."""
        rows = self._connection.execute(
            "SELECT stage, SUM(forward_passes), SUM(tokens), SUM(seconds) FROM records "
            "GROUP BY stage ORDER BY MIN(rowid)"
        )
        return tuple(
            StageFacts(stage=stage, forward_passes=passes, tokens=tokens, seconds=seconds)
            for stage, passes, tokens, seconds in rows
        )
