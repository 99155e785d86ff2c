"""Conversations of one request: chat rows, and PyRIT's seed prompts."""

import ast
import json
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.prompts.formats import Origin, Reader, Request, SetAside, cell
from sae_audit.prompts.tables import Row
from sae_audit.untrusted import shown

_USER = frozenset({"user", "human", "prompter"})
_ANSWERING = frozenset({"assistant", "gpt", "model", "chatgpt", "bot", "bing", "bard"})
_SYSTEM = frozenset({"system", "developer"})


def chat(column: str) -> Reader:
    """A reader of rows with turns (`role` and `content`, or ShareGPT's `from` and `value`).

    It reads one request at the start and drops the answer after it; a row with a system prompt, several
    requests or images is set aside.
    """

    def read(row: Row, place: str, origin: Origin) -> Request | SetAside:
        turns = [_turn(turn, column, place) for turn in _turns(row.get(column), column, place)]
        filled = [(role, content) for role, content in turns if content not in (None, "", [])]
        roles = [role for role, _ in filled]
        if _SYSTEM.intersection(roles):
            return SetAside("with a system prompt")
        asked = [content for role, content in filled if role in _USER]
        if len(asked) != 1 or roles[0] not in _USER:
            return SetAside("several turns" if asked else "without a request")
        if len(roles) > 2 or not _ANSWERING.issuperset(roles[1:]):
            return SetAside("several turns")
        text = _text(asked[0])
        if isinstance(text, SetAside):
            return text
        return Request(
            text=text,
            label=origin.label_by_name,
            column=column,
            category=cell(row, "category", place),
            language=cell(row, "language", place),
            own_id=cell(row, "id", place),
        )

    return read


def seed(row: Row, place: str, origin: Origin) -> Request | SetAside:
    """A seed prompt, if it is a text that is sent alone; other kinds are set aside."""
    kind = cell(row, "data_type", place)
    if kind != "text":
        return SetAside("no text")
    if row.get("parameters"):
        return SetAside("template")
    role = cell(row, "role", place)
    if role and role not in _USER:
        return SetAside("with a system prompt" if role in _SYSTEM else "several turns")
    n = row.get("seeds_of_group", 1)
    if isinstance(n, int) and n > 1:
        return SetAside("several turns")
    return Request(
        text=row.get("value"),
        label=origin.label_by_name,
        column="value",
        category=cell(row, "harm_categories", place) or cell(row, "harm_category", place),
        language=cell(row, "language", place),
    )


def message(row: Row, place: str) -> SetAside | None:
    """Why a row is no request of its own: each row of OpenAssistant is one message of a tree."""
    role = cell(row, "role", place).casefold()
    if role in _ANSWERING:
        return SetAside("an answer")
    if role in _SYSTEM:
        return SetAside("with a system prompt")
    return SetAside("several turns") if row.get("parent_id") else None


def _turns(cells: Any, column: str, place: str) -> list[Any]:
    if isinstance(cells, str) and cells.lstrip().startswith("["):
        cells = listed(cells)
        if isinstance(cells, str):
            raise AuditError(f"{place}: {column} is no JSON list of turns.")
    if not isinstance(cells, list):
        raise AuditError(
            f"{place}: {column} is {type(cells).__name__}, a list of turns is needed, "
            '[{"role": "user", "content": "..."}].'
        )
    return cells


def listed(cell: str) -> object:
    """The value of a CSV cell as JSON or as a Python literal; else its text."""
    # Python's literal parser takes a hundred bytes per byte of text.
    if len(cell) <= bounds.TEXT_CHARACTERS and cell.lstrip().startswith("["):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(cell)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return cell


def _turn(turn: Any, column: str, place: str) -> tuple[str, Any]:
    if isinstance(turn, dict):
        for role, content in (("role", "content"), ("from", "value")):
            if isinstance(turn.get(role), str) and content in turn:
                return turn[role].strip().casefold(), turn[content]
    raise AuditError(
        f"{place}: a turn of {column} is {_described(turn)}; it has role and content (or from "
        "and value)."
    )


def _described(turn: Any) -> str:
    if not isinstance(turn, dict):
        return type(turn).__name__
    return f"an object with {shown(', '.join(sorted(map(str, turn))[:6]), 80) or 'nothing'}"


def _text(content: Any) -> object | SetAside:
    """A turn's text, joined from its parts; set aside if a part is an image."""
    if not isinstance(content, list):
        return content
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        return SetAside("with an image")
    return "\n".join(texts)
