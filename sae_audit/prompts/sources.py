"""Prompt files in, prompts out; a broken line is named, never skipped."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts.types import Label, Prompt, folded

_KNOWN = {"id", "text", "label", "category", "language"}


def read_prompts(sources: Sequence[Path]) -> list[Prompt]:
    """All prompts of all files, in order.

    Raises:
        AuditError: a file is missing, a line is broken (its number is named), a text is empty or
            stands under both labels, an id occurs twice, or one of the two labels is missing.
    """
    prompts: list[Prompt] = []
    first_seen: dict[str, str] = {}
    labels: dict[str, Label] = {}
    for source in sources:
        for number, prompt in _read_one(source):
            place = f"{source} line {number}"
            if prompt.id in first_seen:
                raise AuditError(
                    f"{place}: the id {prompt.id!r} was used before, at {first_seen[prompt.id]}; "
                    "give every prompt an id of its own."
                )
            first_seen[prompt.id] = place
            text = folded(prompt.text)
            if labels.setdefault(text, prompt.label) != prompt.label:
                raise AuditError(
                    f"{place}: the text of {prompt.id!r} stands in the files as harmful and as "
                    "harmless; keep one."
                )
            prompts.append(prompt)
    for label in Label:
        if not any(prompt.label == label for prompt in prompts):
            raise AuditError(
                f"{', '.join(map(str, sources))}: no {label.value} prompt among {len(prompts)}; an "
                'audit compares harmful with harmless ones, so add lines with "label": '
                f'"{label.value}".'
            )
    return prompts


def _read_one(source: Path) -> Iterator[tuple[int, Prompt]]:
    if not source.is_file():
        raise AuditError(
            f"No prompt file {source}; give a .jsonl or .csv file with id, text and label."
        )
    rows = _csv_rows if source.suffix.lower() == ".csv" else _json_rows
    try:
        for number, row in rows(source):
            yield number, _prompt(row, f"{source} line {number}")
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{source} is not UTF-8 text ({error.reason}); save it as UTF-8."
        ) from error


def _json_rows(source: Path) -> Iterator[tuple[int, Any]]:
    with source.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise AuditError(
                    f"{source} line {number}: not a JSON object ({error.msg} at column "
                    f'{error.colno}); a line looks like {{"id": "a1", "text": "...", "label": '
                    '"harmful"}.'
                ) from error


def _csv_rows(source: Path) -> Iterator[tuple[int, Any]]:
    with source.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            yield reader.line_num, {key: value for key, value in row.items() if value}


def _prompt(row: Any, place: str) -> Prompt:
    if not isinstance(row, dict):
        raise AuditError(
            f"{place}: {type(row).__name__} instead of a JSON object with id and text."
        )
    unknown = sorted(str(key) for key in row if key not in _KNOWN)
    if unknown:
        raise AuditError(f"{place}: unknown field {unknown[0]!r}; known are {sorted(_KNOWN)}.")
    missing = [field for field in ("id", "text", "label") if not str(row.get(field, "")).strip()]
    if missing:
        raise AuditError(f"{place}: {missing[0]!r} is missing or empty.")
    if not isinstance(row["text"], str):
        raise AuditError(f"{place}: text is {row['text']!r}, a string is needed.")
    if row["label"] not in set(Label):
        raise AuditError(f'{place}: label is {row["label"]!r}; it is "harmful" or "harmless".')
    return Prompt(
        id=str(row["id"]),
        text=row["text"].strip(),
        label=Label(row["label"]),
        category=str(row.get("category", "")),
        language=str(row.get("language", "")),
    )
