"""Files into rows: CSV, TSV, JSON, JSON lines, parquet, YAML and plain text.

Published sets of prompts also carry answers, some of them harmful. They are dropped here, row by row,
and no error quotes a cell.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.prompts.columns import ANSWERS
from sae_audit.prompts.json_rows import json_rows
from sae_audit.prompts.lines import bounded_lines
from sae_audit.prompts.parquet_rows import parquet_rows
from sae_audit.prompts.separated import separated_rows
from sae_audit.prompts.yaml_rows import yaml_rows
from sae_audit.untrusted import shown

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".yaml", ".yml", ".prompt")

Row = dict[str, Any]
"""Cells by column, without empty ones."""

_LONGEST_NAME = 32


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: frozenset[str]
    """All columns, those of answers included: they identify formats."""
    rows: tuple[tuple[str, Row], ...]
    """The place of each row (`FILE line 3`), and its cells without answers."""

    @property
    def seems_headless(self) -> bool:
        """Whether the column names look like a row: texts, or a label."""
        return any(
            _is_text(name) or name.strip().casefold() in {"harmful", "harmless"}
            for name in self.columns
        )


def read_table(file: Path, name: str) -> Table:
    """All rows of a file, which messages call `name`.

    Raises:
        AuditError: The kind of file is unknown, or it is empty, broken, not UTF-8 or too large.
    """
    kind = file.suffix.lower()
    if kind not in SUFFIXES:
        raise AuditError(
            f"{name} is no file of prompts by its name; the kinds read are {', '.join(SUFFIXES)}."
        )
    columns: set[str] = set()
    rows: list[tuple[str, Row]] = []
    n_characters = 0
    for place, cells in _READERS[kind](file, name):
        columns.update(cells)
        row = _without_answers(cells)
        n_characters += sum(map(_weight, row.values()))
        rows.append((place, row))
        if max(len(columns) / bounds.COLUMNS, len(rows) / bounds.ROWS) > 1:
            raise AuditError(
                f"{place}: at most {bounds.ROWS:,} rows and {bounds.COLUMNS:,} columns are read; take a "
                "part of the file."
            )
        if n_characters > bounds.KEPT_CHARACTERS:
            raise AuditError(
                f"{place}: more than {bounds.KEPT_CHARACTERS:,} characters by this row; take a part of "
                "the file, or leave out columns that are not needed."
            )
    if not rows:
        raise AuditError(f"{name} holds no prompts; it has no rows.")
    return Table(columns=frozenset(columns), rows=tuple(rows))


def shown_columns(columns: frozenset[str], n: int = 40) -> str:
    """Column names for a message; without a header they may be prompts, which are hidden."""
    named = [
        f"(a text of {len(name)} characters)" if _is_text(name) else shown(name)
        for name in sorted(columns)
    ]
    return ", ".join(named[:n]) + (f" and {len(named) - n} more" if len(named) > n else "")


def _is_text(name: str) -> bool:
    # In scripts without spaces, a whole request fits into a few characters.
    return len(name) > (_LONGEST_NAME if name.isascii() else 6) or len(name.split()) > 2


def _without_answers(row: Row) -> Row:
    return {
        key: value
        for key, value in row.items()
        if key not in ANSWERS and value is not None and value != ""
    }


def _weight(cell: Any) -> int:
    """Characters of a cell, plus a constant for each nested value."""
    if isinstance(cell, str):
        return len(cell)
    if isinstance(cell, dict):
        return 64 + sum(map(_weight, cell.values()))
    return 64 + sum(map(_weight, cell)) if isinstance(cell, list) else 32


def _text_lines(file: Path, name: str) -> Iterator[tuple[str, Row]]:
    is_first = True
    for number, line in enumerate(bounded_lines(file, name), start=1):
        if line.strip():
            if is_first and _is_json(line):
                raise AuditError(
                    f"{name} line {number} is JSON, which would be read as a prompt; let its name "
                    "end in .jsonl or .json."
                )
            is_first = False
            yield f"{name} line {number}", {"text": line.removesuffix("\n")}


def _is_json(line: str) -> bool:
    if line.lstrip()[:1] not in {"{", "["}:
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


_READERS = {
    ".jsonl": json_rows,
    ".json": json_rows,
    ".csv": separated_rows,
    ".tsv": separated_rows,
    ".parquet": partial(parquet_rows, answers=ANSWERS),
    ".txt": _text_lines,
    ".yaml": yaml_rows,
    ".yml": yaml_rows,
    ".prompt": yaml_rows,
}
