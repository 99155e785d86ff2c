"""Text, JSON and YAML from foreign files: read within bounds, and escaped when shown.

A file of settings, a checkpoint's config, a prompt file and a catalog may come from anyone. If one is
too large, too deep, not text, or written to exhaust a parser, the error is one sentence that names it.
Control characters are escaped, so that a file cannot move a terminal's cursor or reverse its text.
"""

import json
import stat
import unicodedata
from pathlib import Path
from typing import Any, NoReturn

import yaml

from sae_audit.errors import AuditError

SMALL_BYTES = 64 << 20
"""Bytes, the limit of a small file (config, tokenizer, settings, catalog): a large model's
tokenizer.json takes about 35 MB."""
YAML_BYTES = 4 << 20
"""Bytes, the limit of a YAML file: its parser takes one second per megabyte."""
DEEPEST = 64
"""Nesting levels, the limit for JSON or YAML."""
_LONGEST_NUMBER = 400
"""Digits, the limit of a number in JSON; the largest float64 has 309 before its point."""
_LONGEST_NAME = 100
"""Bytes, the limit of a file name: leaves room for the suffix of a temporary file."""
_LONGEST_PART = 255
_LONGEST_PATH = 4096
"""Bytes, the limits on Linux of a path and of one part of it."""
_SHOWN = 200
"""Characters of foreign text that a message repeats."""


def shown(text: object, limit: int = _SHOWN) -> str:
    """Foreign text on one line for a message: non-printing characters escaped, cut to `limit`."""
    whole = str(text)
    spelled = "".join(_spelled(character) for character in whole[:limit])
    return spelled if len(whole) <= limit else f"{spelled} ... ({len(whole)} characters)"


def printable(text: str) -> str:
    """The text with non-printing characters escaped (`\\x1b`, `\\u202e`) and line breaks kept.

    Escapes control characters, marks of text direction and lone surrogates; keeps letters of every
    script, marks, emoji, spaces, line breaks and tabs.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" else _spelled(c) for c in text)


def unprintable(text: str) -> str | None:
    """The first control, direction or surrogate character, escaped, line breaks and tabs excepted.

    None if there is none.
    """
    found = next((c for c in text if c not in "\n\r\t" and not _is_printed(c)), None)
    return None if found is None else _spelled(found)


def name_fault(name: str) -> str:
    """Why this cannot be the name of one folder or file; empty if it can.

    A name is one part of a path: it leads nowhere else, and every system can store it.
    """
    if not name or name in {".", ".."}:
        return "it names no folder of its own"
    if "/" in name or "\\" in name:
        return "it holds a path; a name is one word or more, without slashes"
    if (found := next((c for c in name if not _is_printed(c)), None)) is not None:
        return f"it holds {_spelled(found)}"
    if len(name.encode()) > _LONGEST_NAME:
        return f"it has {len(name.encode())} bytes, and {_LONGEST_NAME} are the most"
    return ""


def path_fault(path: str) -> str:
    """Why no system can store a file under this path; empty if one can."""
    if (found := unprintable(path)) is not None:
        return f"it holds {found}"
    longest = max(len(part.encode()) for part in path.split("/"))
    if longest > _LONGEST_PART or len(path.encode()) > _LONGEST_PATH:
        return f"a path has at most {_LONGEST_PATH} bytes, and {_LONGEST_PART} between two slashes"
    return ""


def _spelled(character: str) -> str:
    if _is_printed(character):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _is_printed(character: str) -> bool:
    # Cc control, Cs surrogate, Zl and Zp line separators. Of the formatting characters (Cf), only those
    # that join letters or emoji are harmless; the others reverse or hide text.
    category = unicodedata.category(character)
    if category == "Cf":
        return character in "\u200c\u200d"
    return category not in {"Cc", "Cs", "Zl", "Zp"}


def read_bytes(path: Path, *, limit: int = SMALL_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        AuditError: The file is missing, unreadable, not regular (a pipe, a device), or larger than
            `limit`.
    """
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise AuditError(f"{shown(path)} is a folder; a file is needed here.")
        if not stat.S_ISREG(about.st_mode):
            raise AuditError(f"{shown(path)} is a pipe or a device; copy it into a regular file.")
        if about.st_size > limit:
            raise AuditError(
                f"{shown(path)} has {about.st_size / 1e6:.0f} MB, and at most {limit / 1e6:.0f} MB "
                "of such a file are read; is it the right file?"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise AuditError(f"No file {shown(path)}; check the path.") from error
    except (OSError, ValueError) as error:
        # ValueError: the path holds a NUL.
        reason = getattr(error, "strerror", None) or str(error)
        raise AuditError(f"{shown(path)} cannot be read: {reason}.") from error


def read_text(path: Path, *, limit: int = SMALL_BYTES) -> str:
    """The text of a UTF-8 file, without its byte order mark.

    Raises:
        AuditError: As `read_bytes`, or the file is not UTF-8.
    """
    try:
        return read_bytes(path, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{shown(path)} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8."
        ) from error


def read_json(path: Path, *, limit: int = SMALL_BYTES) -> Any:
    """The value of a JSON file.

    Raises:
        AuditError: As `read_text` and `parsed_json`.
    """
    return parsed_json(read_text(path, limit=limit), shown(path))


def parsed_json(text: str, what: str) -> Any:
    """The value of a JSON text; `what` names it in a message.

    Raises:
        AuditError: The text is not JSON, is nested deeper than `DEEPEST`, has a number of more than 400
            digits, or an object that gives one key two values (parsers differ in which they take).
    """
    try:
        found = json.loads(
            text, parse_int=_integer, parse_float=_floating, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise AuditError(
            f"{what} is no JSON ({error.msg} at line {error.lineno} column {error.colno})."
        ) from error
    except RecursionError as error:
        raise AuditError(f"{what} is nested too deeply to be read.") from error
    except ValueError as error:
        raise AuditError(f"{what} cannot be read: {error}.") from error
    _check_depth(found, what)
    return found


def read_yaml(path: Path, *, limit: int = YAML_BYTES) -> Any:
    """The value of a YAML file.

    Raises:
        AuditError: As `read_text` and `parsed_yaml`.
    """
    return parsed_yaml(read_text(path, limit=limit), shown(path))


def parsed_yaml(text: str, what: str) -> Any:
    """The value of a YAML text, dates kept as text; `what` names it in a message.

    Raises:
        AuditError: The text is not YAML, has an alias (a short text can expand to gigabytes), is
            nested deeper than `DEEPEST`, or has a mapping that names one key twice.
    """
    try:
        found = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        reason = shown((str(error).strip() or type(error).__name__).splitlines()[0])
        raise AuditError(f"{what} is no YAML: {reason}.") from error
    except RecursionError as error:
        raise AuditError(f"{what} is nested too deeply to be read.") from error
    except (ValueError, LookupError, AttributeError, OverflowError) as error:
        # The parser's own errors, at a tag that does not fit its value (`!!int ""`, `!!bool maybe`).
        raise AuditError(f"{what} is no YAML: {shown(error)}.") from error
    _check_depth(found, what)
    return found


class _Loader(yaml.SafeLoader):
    """Loader of plain data, without aliases, dates and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()
            raise yaml.YAMLError(f"the alias *{event.anchor} is refused; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = (
            next((key for key in keys if keys.count(key) > 1), None) if len(keys) < 500 else None
        )
        if twice is not None:
            raise yaml.YAMLError(f"the key {shown(twice)!r} stands there twice")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> Any:
        # A long hexadecimal number parses at once, but cannot be printed.
        _check_digits(str(node.value))
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


# Dates stay text: no setting is one, and an invalid one (2026-99-99) would raise.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: dict[str, Any] = {}
    for key, value in pairs:
        # Compared as text: in Python 1, 1.0 and true are equal.
        if key in seen and json.dumps(seen[key]) != json.dumps(value):
            raise ValueError(
                f"it gives the key {shown(key, 60)!r} two different values; remove one of them"
            )
        seen[key] = value
    return found


def _integer(digits: str) -> int:
    _check_digits(digits)
    return int(digits)


def _floating(digits: str) -> float:
    _check_digits(digits)
    return float(digits)


def _check_digits(digits: str) -> None:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"it holds a number of {len(digits)} characters")


def _check_depth(found: Any, what: str) -> None:
    # Level by level: the value may be too deep for recursion.
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            _too_deep(what)
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
        level = below


def _too_deep(what: str) -> NoReturn:
    raise AuditError(f"{what} is nested deeper than {DEEPEST} levels; it is no such file.")
