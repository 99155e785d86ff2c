"""The lines of a text file, within limits; another kind of file is recognised and refused."""

import os
from collections.abc import Iterator
from pathlib import Path

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds

_KINDS = (
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)", "unpack it, or save the table as CSV"),
    (b"\x1f\x8b", "compressed (gzip)", "unpack it"),
    (b"BZh", "compressed (bzip2)", "unpack it"),
    (b"\xfd7zXZ\x00", "compressed (xz)", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"PAR1", "a parquet file", "let its name end in .parquet"),
    (b"SQLite format 3", "a database", "export the table as CSV"),
    (b"%PDF", "a PDF", "save the prompts as text"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file",
        "fetch it with git lfs pull",
    ),
    (b"\xff\xfe", "not UTF-8 text but UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "not UTF-8 text but UTF-16", "save it as UTF-8"),
)
"""First bytes of other kinds of file, their names, and what to do."""


def check_file(file: Path, shown: str, *, limit: int | None = None) -> None:
    """Check that the file can be opened, is small enough, and is a text file by its first bytes.

    Raises:
        AuditError: It is too large, cannot be opened, or is an archive, a web page and the like.
    """
    try:
        size = os.stat(file).st_size
        with file.open("rb") as opened:
            head = opened.read(512)
    except (OSError, ValueError) as error:
        raise AuditError(f"{shown} cannot be read: {_reason(error)}.") from error
    is_parquet = file.suffix.lower() == ".parquet"
    for begins, what, remedy in _KINDS:
        if head.startswith(begins) and not (is_parquet and begins == b"PAR1"):
            raise AuditError(f"{shown} is {what}; {remedy}.")
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise AuditError(f"{shown} is a web page, as a failed download leaves it; fetch it again.")
    limit = bounds.FILE_BYTES if limit is None else limit
    if size > limit:
        raise AuditError(
            f"{shown} has {size / 1e6:,.0f} MB, and at most {limit / 1e6:,.0f} MB of such a file are "
            "read; save it as JSON lines, or take a part of it."
        )


def bounded_lines(file: Path, shown: str, *, newline: str | None = None) -> Iterator[str]:
    """All lines, in order.

    Raises:
        AuditError: As `check_file`, or a line is too long or not UTF-8.
    """
    check_file(file, shown)
    # Invalid UTF-8 is read as lone surrogates, so that its line can be named.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline) as opened:
        number = 0
        while line := opened.readline(bounds.LINE_CHARACTERS + 1):
            number += 1
            place = f"{shown} line {number}"
            if len(line) > bounds.LINE_CHARACTERS:
                raise AuditError(
                    f"{place} has more than {bounds.LINE_CHARACTERS:,} characters; it is no line of "
                    "prompts."
                )
            if not line.isascii():
                check_utf8(line, place)
            yield line


def first_filled(file: Path, shown: str) -> tuple[str, bool]:
    """The first non-blank line, cut to the limit; and whether more follow.

    Raises:
        AuditError: As `check_file`.
    """
    check_file(file, shown)
    first = ""
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as opened:
        while line := opened.readline(bounds.LINE_CHARACTERS):
            if first and line.strip():
                return first, True
            first = first or line.strip()
    return first, False


def whole_text(file: Path, shown: str, *, limit: int | None = None) -> str:
    """The text of a file.

    Raises:
        AuditError: As `check_file`, or it is not UTF-8.
    """
    check_file(file, shown, limit=bounds.WHOLE_BYTES if limit is None else limit)
    text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    check_utf8(text, shown)
    return text


def check_utf8(text: str, place: str) -> None:
    """Refuse text with the surrogates of bytes that are not UTF-8.

    Raises:
        AuditError: The text has such surrogates.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        lines = text.count("\n", 0, error.start)
        where = f" (line {lines + 1})" if lines else ""
        raise AuditError(f"{place} is not UTF-8 text{where}; save it as UTF-8.") from error


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or "its name cannot be opened"
