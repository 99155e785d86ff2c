"""JSON into rows: one object a line, an array, or one object that holds the prompts under a key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.prompts.columns import ANSWERS, reason_beside
from sae_audit.prompts.lines import bounded_lines, first_filled, whole_text
from sae_audit.untrusted import parsed_json, shown

_SINGULAR = {
    "ids": "id",
    "texts": "text",
    "prompts": "prompt",
    "instructions": "instruction",
    "inputs": "input",
    "outputs": "output",
    "goals": "goal",
    "targets": "target",
    "labels": "label",
    "categories": "category",
    "types": "type",
}
"""Column name of a list's values, by the list's name."""
_COLUMNS = frozenset([*_SINGULAR, *_SINGULAR.values()])
_LISTS_OF_PROMPTS = frozenset(
    [
        "behaviors",
        "data",
        "examples",
        "goals",
        "instructions",
        "payloads",
        "prompts",
        "queries",
        "questions",
        "requests",
        "rows",
        "seeds",
        "texts",
    ]
)
_OF_ONE_ROW = ("messages", "conversations", "conversation", "turns")
"""Names of lists that are cells of a row."""
_REQUESTS = (
    "text",
    "prompt",
    "instruction",
    "goal",
    "Goal",
    "Behavior",
    "forbidden_prompt",
    "bad_q",
)

Placed = tuple[str, dict[str, Any]]


def json_rows(file: Path, name: str) -> Iterator[Placed]:
    """Place and cells of each row, from JSON lines or one array or object, whatever the file's ending.

    Raises:
        AuditError: As `bounded_lines` and `placed_rows`, or a line is not JSON.
    """
    is_called_lines = file.suffix.lower() == ".jsonl"
    first, has_more = first_filled(file, name)
    if _is_whole(first, is_alone=not has_more and not is_called_lines):
        try:
            value = parsed_whole(whole_text(file, name), name)
        except AuditError:
            if not is_called_lines or first.startswith("["):
                raise
            # JSON lines whose first one is broken: reported below, with its number.
        else:
            yield from placed_rows(value, name)
            return
    yield from _lines(file, name)


def parsed_whole(text: str, name: str) -> Any:
    """The value of a JSON text.

    Raises:
        AuditError: The text is not JSON, or has too many values.
    """
    if sum(text.count(mark) for mark in ",[{") > bounds.WHOLE_VALUES:
        raise AuditError(
            f"{name} holds more than {bounds.WHOLE_VALUES:,} values; save it as JSON lines, or take a "
            "part of it."
        )
    return _parsed(text, name)


def placed_rows(value: Any, name: str) -> Iterator[Placed]:
    """The rows of one JSON (or YAML) value.

    Raises:
        AuditError: The value is neither an array of texts or objects, nor an object that holds one.
    """
    rows = _from_object(value, name) if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise AuditError(
            f"{name} holds one {type(value).__name__}; prompts are an array of texts or of objects."
        )
    for number, row in enumerate(rows, start=1):
        place = f"{name} row {number}"
        yield place, as_row(row, place)


def as_row(value: Any, place: str) -> dict[str, Any]:
    """The cells of one row; a bare text is a prompt.

    Raises:
        AuditError: The value is neither an object nor a text.
    """
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise AuditError(
            f"{place}: {type(value).__name__} instead of a JSON object with id and text."
        )
    return {str(key): cell for key, cell in value.items()}


def _is_whole(first_line: str, *, is_alone: bool) -> bool:
    """Whether the file is one value instead of one per line, judged by its first non-blank line."""
    try:
        alone = json.loads(first_line)
    except (ValueError, RecursionError):
        return first_line[:1] in {"[", "{"}
    return is_alone or not isinstance(alone, dict | str)


def _lines(file: Path, name: str) -> Iterator[Placed]:
    for number, line in enumerate(bounded_lines(file, name), start=1):
        if line.strip():
            place = f"{name} line {number}"
            yield place, as_row(_parsed(line, place), place)


def _parsed(text: str, place: str) -> Any:
    try:
        return parsed_json(text, place)
    except AuditError as error:
        fault = error.__cause__
        if not isinstance(fault, json.JSONDecodeError):
            raise
        raise AuditError(
            f"{place}: not a JSON object ({fault.msg} at line {fault.lineno} column {fault.colno}); "
            'one looks like {"id": "a1", "text": "...", "label": "harmful"}.'
        ) from error


def _from_object(value: dict[Any, Any], name: str) -> list[Any]:
    """The rows of one object: the object itself, those under its one list, or columns as lists."""
    lists = {str(key): cell for key, cell in value.items() if isinstance(cell, list) and cell}
    if any(key in value for key in _OF_ONE_ROW) or any(
        isinstance(value.get(key), str) for key in _REQUESTS
    ):
        return [value]
    if _are_columns(lists):
        names = [_SINGULAR.get(key, key) for key in lists]
        return [dict(zip(names, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
    of_prompts = [key for key in lists if len(lists) == 1 or key.casefold() in _LISTS_OF_PROMPTS]
    # Inputs or labels of another number than the prompts would be lost.
    if len(of_prompts) == 1 and not _COLUMNS.intersection(lists.keys() - of_prompts):
        (named,) = of_prompts
        _check_whole(value, named, name)
        return lists[named]
    nested = [cell for cell in value.values() if isinstance(cell, dict)]
    if value and not lists and len(nested) < len(value):
        return [value]
    what = f"lists under {_keys(lists)}" if lists else f"{len(nested)} objects under other keys"
    raise AuditError(
        f"{name} is one JSON object with {what}, and which of it are prompts cannot be told; give an "
        'array, ["...", "..."] or [{"text": "..."}, ...], or an object with one list.'
    )


def _check_whole(value: dict[Any, Any], named: str, name: str) -> None:
    """Refuse an object with further parts of each prompt, such as a system prompt or contexts."""
    n_prompts = len(value[named])
    for key, cell in value.items():
        is_answers = key in ANSWERS or str(key).removesuffix("s") in ANSWERS
        is_of_all = is_answers or "type" in str(key)
        is_of_each = isinstance(cell, list) and len(cell) == n_prompts > 1 and not is_of_all
        if key != named and cell and (is_of_each or reason_beside(str(key)) is not None):
            raise AuditError(
                f"{name} is one JSON object whose {shown(named)} seem to need what stands beside them "
                f"({_keys({str(key): []})}); give an array of objects, or take it out."
            )


def _are_columns(lists: dict[str, list[Any]]) -> bool:
    return (
        len(lists) > 1
        and lists.keys() <= _COLUMNS
        and len({len(cells) for cells in lists.values()}) == 1
        and not any(isinstance(cell, list | dict) for cells in lists.values() for cell in cells)
    )


def _keys(lists: dict[str, list[Any]]) -> str:
    """Keys for a message; a key that may be a prompt (in lists of answers by request) is hidden."""
    named = [
        shown(key)
        if len(key) <= (32 if key.isascii() else 6) and len(key.split()) <= 2
        else f"(a text of {len(key)} characters)"
        for key in list(lists)[:6]
    ]
    return ", ".join(named) + (f" and {len(lists) - 6} more" if len(lists) > 6 else "")
