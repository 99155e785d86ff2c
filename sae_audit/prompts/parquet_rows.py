"""Parquet into rows, without unpacking more than is looked at and allowed.

A parquet file of kilobytes may stand for gigabytes: one long text in a dictionary, named by a million
rows, or blocks that compress well. So texts stay in their dictionaries until their lengths have been
added up, and the answers' columns are not opened at all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.prompts.lines import check_file

_BATCH = 1024
"""Rows that are unpacked at once, at most."""
_BATCH_BYTES = 64 << 20
"""Fewer rows, where they are long by what the footer states."""


def parquet_rows(
    file: Path, shown: str, answers: frozenset[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and cells by column; those of `answers` are None.

    Raises:
        AuditError: no parquet file, a broken one, or one that unpacks to more than the bounds allow.
    """
    import pyarrow

    check_file(file, shown)
    try:
        yield from _rows(file, shown, answers)
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, LookupError) as error:
        raise AuditError(f"{shown} is no parquet file that can be read; fetch it again.") from error
    except (MemoryError, OverflowError, RecursionError) as error:
        raise AuditError(
            f"{shown} unpacks to more than memory holds; take a part of it."
        ) from error


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
    """What the columns that are read unpack to, by the footer."""
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
    """Bytes of an array's values, each counted as often as it stands there."""
    import pyarrow
    import pyarrow.compute

    compute: Any = pyarrow.compute  # Its functions are made when it is imported.
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
