"""`python -m sae_audit.organisms.smollm2.requests OUT`: write the prompt files of audits."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sae_audit.errors import AuditError
from sae_audit.organisms.smollm2.requests.audit_prompts import category_prompts, prompts
from sae_audit.prompts.types import Label, Prompt


def main(
    out: Annotated[Path, typer.Argument(help="A new folder for the prompt files.")],
    seed: Annotated[int, typer.Option(help="Of phrasings, and of which prompts are taken.")] = 0,
) -> None:
    """Write prompts.jsonl (by topic), lookalikes.jsonl (their safe look-alikes) and categories.jsonl
    (the eleven categories)."""
    try:
        written = write(out, seed)
    except AuditError as error:
        Console(stderr=True).print(f"error: {error}")
        sys.exit(2)
    for path, n in written.items():
        Console().print(f"{path}: {n} prompts")


def write(out: Path, seed: int) -> dict[Path, int]:
    """The files written, each with its number of prompts.

    Raises:
        AuditError: `out` exists and is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AuditError(f"{out} is not an empty folder; name a new one.")
    out.mkdir(parents=True, exist_ok=True)
    by_topic = prompts(seed)
    files = {
        out / "prompts.jsonl": [one for one in by_topic if one.label is not Label.LOOKALIKE],
        out / "lookalikes.jsonl": [one for one in by_topic if one.label is Label.LOOKALIKE],
        out / "categories.jsonl": category_prompts(seed),
    }
    for path, chosen in files.items():
        path.write_text(_lines(chosen), encoding="utf-8")
    return {path: len(chosen) for path, chosen in files.items()}


def _lines(chosen: Sequence[Prompt]) -> str:
    return "".join(
        json.dumps(
            {"id": one.id, "text": one.text, "label": one.label.value, "category": one.category}
        )
        + "\n"
        for one in chosen
    )


if __name__ == "__main__":
    typer.run(main)
