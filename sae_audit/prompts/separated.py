"""CSV and TSV into rows, each named by its first line."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.prompts.lines import bounded_lines


def separated_rows(file: Path, shown: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and cells of each row by column, without nameless columns.

    Spreadsheets and data frames write row numbers in a nameless column.

    Raises:
        AuditError: As `bounded_lines`; a row has more cells than the header, the header repeats a name,
            or a quote is never closed.
    """
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    records = _records(file, shown, delimiter)
    first = next(records, None)
    if first is None:
        return
    header_line, header = first
    _check_header(header, f"{shown} line {header_line}")
    for line, cells in records:
        if len(cells) > len(header):
            advice = _about_surplus(header, header_line, delimiter)
            raise AuditError(
                f"{shown} line {line}: more cells than the header has columns ({len(cells)}, "
                f"{len(header)}); {advice}."
            )
        row = zip(header, cells, strict=False)
        yield f"{shown} line {line}", {name: cell for name, cell in row if name}


class _Lines:
    """Lines for the CSV parser, which neither limits a row nor reports a file that ends inside one."""

    def __init__(self, lines: Iterator[str], shown: str) -> None:
        self._lines = lines
        self._shown = shown
        self._n_characters = 0
        self._begins = 1
        self.has_ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.has_ended = True
            raise StopIteration
        self._n_characters += len(line)
        if self._n_characters > bounds.LINE_CHARACTERS:
            raise AuditError(
                f"{self._shown} line {self._begins}: a row of more than {bounds.LINE_CHARACTERS:,} "
                "characters; is a double quote opened there that is never closed?"
            )
        return line

    def begin_row(self, line: int) -> None:
        self._n_characters = 0
        self._begins = line


def _records(file: Path, shown: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The first line number and the cells of each record, without blank lines."""
    lines = _Lines(bounded_lines(file, shown, newline=""), shown)
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        begins = reader.line_num + 1
        lines.begin_row(begins)
        try:
            cells = _next(reader)
        except csv.Error as error:
            raise AuditError(f"{shown} line {begins}: no CSV ({error}).") from error
        if cells is None:
            return
        if lines.has_ended:
            # A complete record requests no further line: this one holds all rows after the quote.
            raise AuditError(
                f"{shown} line {begins}: a double quote is opened in this row and never closed; a quote "
                'inside a cell is written twice ("").'
            )
        if cells:
            yield begins, cells


def _next(reader: Any) -> list[str] | None:
    # The parser's limit applies to the whole process, so it is restored.
    before = csv.field_size_limit(bounds.LINE_CHARACTERS)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _check_header(header: list[str], place: str) -> None:
    if len(header) > bounds.COLUMNS:
        raise AuditError(
            f"{place}: {len(header):,} columns, and at most {bounds.COLUMNS:,} are read."
        )
    twice = [name for name, n in Counter(header).items() if name and n > 1]
    if twice:
        n = header.index(twice[0]) + 1
        raise AuditError(
            f"{place}: columns {n} and {header.index(twice[0], n) + 1} have the same name; give "
            "each a name of its own."
        )


def _about_surplus(header: list[str], line: int, delimiter: str) -> str:
    begins = header[0].lstrip().casefold()
    if begins.startswith(("#", "//", "sep=")) or len(header) == 1:
        return f"line {line} seems to stand above the header, which has to come first: remove that line"
    return f"a cell that contains {delimiter!r} stands in double quotes"
