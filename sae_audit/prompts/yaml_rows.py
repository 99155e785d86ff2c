"""YAML into rows: arrays as in JSON, and PyRIT's files of seed prompts (`.prompt`)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts.columns import reason_beside
from sae_audit.prompts.json_rows import as_row, placed_rows
from sae_audit.prompts.lines import whole_text
from sae_audit.untrusted import YAML_BYTES, parsed_yaml, shown, unprintable

_OF_ALL = (
    "data_type",
    "harm_category",
    "harm_categories",
    "parameters",
    "should_be_blocked",
    "language",
)
"""Keys that a file of seed prompts may give once for all of them."""


def yaml_rows(file: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and cells of each row.

    Raises:
        AuditError: As `whole_text`, `parsed_yaml` and `placed_rows`, or the file has control characters,
            which YAML forbids.
    """
    text = whole_text(file, name, limit=YAML_BYTES)
    for number, line in enumerate(text.split("\n"), start=1):
        found = None if line.isprintable() else unprintable(line)
        if found is not None:
            raise AuditError(f"{name} line {number} holds the character {found}; take it out.")
    value = parsed_yaml(text, name)
    if isinstance(value, dict) and not isinstance(value.get("prompt"), str):
        seeds = value.get("seeds") or value.get("prompts")
        if isinstance(seeds, list):
            yield from _seeds(seeds, value, name)
            return
        if "value" in value:
            yield from _seeds([value], {}, name)
            return
    yield from placed_rows(value, name)


def _seeds(
    seeds: list[Any], file: dict[Any, Any], name: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    of_all = {key: file[key] for key in _OF_ALL if file.get(key) is not None}
    beside = next((key for key, held in file.items() if held and reason_beside(str(key))), None)
    if beside is not None:
        raise AuditError(
            f"{name} says {shown(beside, 60)} for all of its prompts, which an audit sends alone; "
            "put it into each of them, or take it out."
        )
    groups = Counter(_group(seed) for seed in seeds)
    for number, seed in enumerate(seeds, start=1):
        place = f"{name} row {number}"
        own = as_row(seed, place)
        if isinstance(seed, str):
            own = {"value": seed}
        group = _group(seed)
        n = groups[group] if group else 1
        yield place, {"data_type": "text", **of_all, **own, "seeds_of_group": n}


def _group(seed: Any) -> str:
    """Key shared by seeds that are sent together."""
    named = seed if isinstance(seed, dict) else {}
    found = named.get("prompt_group_alias") or named.get("prompt_group_id")
    return found if isinstance(found, str) else ""
