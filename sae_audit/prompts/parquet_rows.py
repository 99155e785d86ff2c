"""Parquet into rows, with bounded unpacking.

A parquet file of kilobytes may stand for gigabytes: one long text in a dictionary, named by a million
rows, or blocks that compress well. So texts stay in their dictionaries until their lengths are added
up, and columns of answers are not opened. A few wrong bytes in a page can make the library itself
request all memory, so files are read in a separate process with limits of memory and seconds.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.prompts.lines import check_file

_BATCH = 1024
"""Rows unpacked at once, the limit."""
_BATCH_BYTES = 64 << 20
"""Bytes unpacked at once, the limit by the footer's statement."""


_MEMORY = 6 << 30
"""Bytes of address space, of which the library reserves some gigabytes without using them."""
_SECONDS = 300
"""Seconds of computing for one file."""
_PROGRAM = "from sae_audit.prompts.parquet_rows import write_rows; write_rows()"
_BOUNDS = ("COLUMNS", "KEPT_CHARACTERS", "ROWS", "UNPACKED_BYTES")


def parquet_rows(
    file: Path, shown: str, answers: frozenset[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and cells of each row by column; those of `answers` are None.

    A cell without a form in JSON (bytes, a date) is an object that names its kind.

    Raises:
        AuditError: The file is not parquet, is broken, or unpacks to more than the limits.
    """
    check_file(file, shown)
    limits = {name: getattr(bounds, name) for name in _BOUNDS}
    asked = json.dumps([str(file), shown, sorted(answers), limits])
    reader = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # The system's allocator fails at the limit; others reserve memory that they may never use.
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONPATH": _path()},
        start_new_session=True,
    )
    assert reader.stdin is not None, "a pipe"
    assert reader.stdout is not None, "a pipe"
    try:
        reader.stdin.write(asked.encode())
        reader.stdin.close()
        for line in reader.stdout:
            kind, *said = json.loads(line)
            if kind == "end":
                return
            if kind == "error":
                raise AuditError(said[0])
            yield said[0], said[1]
    finally:
        reader.kill()
        reader.stdout.close()
        reader.wait()
    raise AuditError(
        f"{shown} asks for more memory or time than its rows can need, or is broken; fetch it again, or "
        "take a part of it."
    )


def _path() -> str:
    """Search path by which the other process finds this package."""
    return os.pathsep.join(part for part in (str(Path(__file__).parents[2]), *sys.path) if part)


def write_rows() -> None:
    """Write rows as lines of JSON in the other process, and at the end whether they are complete."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    file, shown, answers, limits = json.loads(sys.stdin.buffer.read())
    for name, value in limits.items():
        setattr(bounds, name, value)
    for said in _said(Path(file), shown, frozenset(answers)):
        sys.stdout.write(
            json.dumps(said, default=lambda cell: {"kind": type(cell).__name__}) + "\n"
        )
    sys.stdout.flush()


def _said(file: Path, shown: str, answers: frozenset[str]) -> Iterator[tuple[Any, ...]]:
    import pyarrow

    try:
        for place, row in _rows(file, shown, answers):
            yield "row", place, row
        yield ("end",)
    except AuditError as error:
        yield "error", str(error)
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, LookupError):
        yield "error", f"{shown} is no parquet file that can be read; fetch it again."
    except (MemoryError, OverflowError, RecursionError):
        yield "error", f"{shown} unpacks to more than memory holds; take a part of it."


def _rows(file: Path, shown: str, answers: frozenset[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as opened:
        names = opened.schema_arrow.names
        if len(names) > bounds.COLUMNS or len(set(names)) < len(names):
            raise AuditError(f"{shown} has too many columns ({len(names)}), or two of one name.")
        wanted = [name for name in names if name not in answers]
        leaves = [opened.schema.column(i) for i in range(len(opened.schema.names))]
        paths = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        n_stated = _checked_bytes(opened.metadata, shown, answers)
        of_a_row = max(1, n_stated // max(1, opened.metadata.num_rows))
        n_rows = max(1, min(_BATCH, _BATCH_BYTES // of_a_row))
    with pyarrow.parquet.ParquetFile(file, read_dictionary=paths) as opened:
        number = n_bytes = 0
        for batch in opened.iter_batches(batch_size=n_rows, columns=wanted):
            n_bytes += sum(_unpacked(column) for column in batch.columns)
            if n_bytes > bounds.KEPT_CHARACTERS:
                raise AuditError(
                    f"{shown} unpacks to more than {bounds.KEPT_CHARACTERS / 1e6:,.0f} MB of texts by "
                    f"row {number + batch.num_rows}; take a part of it."
                )
            for row in batch.to_pylist():
                number += 1
                yield f"{shown} row {number}", dict.fromkeys(names) | row


def _checked_bytes(metadata: Any, shown: str, answers: frozenset[str]) -> int:
    """Unpacked bytes of the columns that are read, by the footer."""
    n_bytes = n_values = 0
    for group in range(metadata.num_row_groups):
        for i in range(metadata.num_columns):
            column = metadata.row_group(group).column(i)
            if column.path_in_schema.split(".")[0] not in answers:
                n_bytes += max(column.total_uncompressed_size, 0)
                n_values += max(column.num_values, 0)
    limit = bounds.ROWS * 16
    if n_bytes > bounds.UNPACKED_BYTES or n_values > limit or metadata.num_rows > bounds.ROWS:
        raise AuditError(
            f"{shown} unpacks to {n_bytes / 1e6:,.0f} MB, {n_values:,} values in {metadata.num_rows:,} "
            f"rows; at most {bounds.UNPACKED_BYTES / 1e6:,.0f} MB, {limit:,} values and {bounds.ROWS:,} "
            "rows are read, so take a part of it."
        )
    return n_bytes


def _unpacked(array: Any) -> int:
    """Bytes of an array's values, with repeated ones counted each time."""
    import pyarrow
    import pyarrow.compute

    compute: Any = pyarrow.compute  # its functions are created on import
    kind = array.type
    if pyarrow.types.is_dictionary(kind) and _is_text(kind.value_type):
        lengths = compute.binary_length(array.dictionary)
        return compute.sum(compute.take(lengths, array.indices)).as_py() or 0
    if pyarrow.types.is_map(kind):
        return _unpacked(array.keys) + _unpacked(array.items)
    if pyarrow.types.is_nested(kind):
        parts = array.flatten()
        return sum(map(_unpacked, parts)) if isinstance(parts, list) else _unpacked(parts)
    return array.nbytes


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )
