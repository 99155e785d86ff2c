"""`python -m sae_audit.organisms.trained make OUT`, `... measure RUN...`, `... confirm ORGANISM RUN`."""

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer

from sae_audit.errors import AuditError
from sae_audit.findings import Estimate
from sae_audit.organisms.bars import bars
from sae_audit.organisms.chats import held_out_prompts
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained.by_hand import refused_by_hand
from sae_audit.organisms.trained.card import Card
from sae_audit.organisms.trained.make import HELD_OUT_SEED, make_all
from sae_audit.organisms.trained.measured import Redundancy, redundancy
from sae_audit.organisms.trained.recipes import chosen
from sae_audit.pages.wording import interval
from sae_audit.record.run import load_run

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
_console = Console()


@app.command()
def make(
    out: Annotated[Path, typer.Argument(help="Folder that holds one folder an organism.")],
    only: Annotated[list[str] | None, typer.Option(help="An organism; repeatable.")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each setting of the dial.", min=1)] = 1,
) -> None:
    """Make the dial and the variants of the bundled organism; what is there already stays.

    An interrupted call goes on with the organism it was at when it is called again.
    """
    with bars(_console, width=32) as progress:
        try:
            cards = make_all(out, chosen(only or [], seeds), progress)
        except AuditError as error:
            _console.print(f"error: {error}")
            sys.exit(2)
    _show_cards(cards)


@app.command()
def measure(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished audits.")],
) -> None:
    """Measures of redundancy of finished audits, side by side."""
    try:
        found = {folder.name: redundancy(load_run(folder)) for folder in runs}
    except AuditError as error:
        _console.print(f"error: {error}")
        sys.exit(2)
    _show_redundancy(found)


@app.command()
def confirm(
    organism: Annotated[Path, typer.Argument(help="Folder of one organism, as `make` leaves it.")],
    run: Annotated[Path, typer.Argument(help="Folder of its finished audit.")],
    n: Annotated[int, typer.Option(help="Held-out prompts of each kind.", min=1)] = 85,
) -> None:
    """The directions of an audit taken out again by plain hooks: is greedy text still a refusal?"""
    try:
        record = load_run(run)
        if record.successive_directions is None:
            raise AuditError(
                f"{run} holds no directions one behind the other; audit the organism anew."
            )
        if not (organism / "model").is_dir():
            raise AuditError(
                f"{organism} holds no organism; `make` leaves them with a model folder."
            )
    except AuditError as error:
        _console.print(f"error: {error}")
        sys.exit(2)
    model = AutoModelForCausalLM.from_pretrained(organism / "model").eval()
    prompts = [
        prompt
        for kind in Kind
        for prompt in [p for p in held_out_prompts(HELD_OUT_SEED) if p.phrase.kind == kind][:n]
    ]
    with bars(_console, width=32) as progress:
        found = refused_by_hand(
            model,
            AutoTokenizer.from_pretrained(organism / "model"),
            torch.tensor(record.successive_units, dtype=model.dtype),
            prompts,
            lambda done, total: progress(organism.name, done, total),
        )
    table = Table(title="Refused in text, held-out phrases, Wilson 95%")
    table.add_column("directions out")
    for kind in Kind:
        table.add_column(kind.value)
    for row in found:
        table.add_row(str(row.n_out), *(_written(row.refused[kind]) for kind in Kind))
    _console.print(table)


def _show_cards(cards: dict[str, Card]) -> None:
    table = Table(title="Refused in text, held-out phrases, Wilson 95%")
    for column in ("organism", "harmful", "harmless", "alarming"):
        table.add_column(column)
    for name, card in cards.items():
        kinds = ("harmful", "harmless", "alarming")
        table.add_row(name, *(_written(card.held_out[kind].refused_by_text) for kind in kinds))
    _console.print(table)


def _show_redundancy(found: dict[str, Redundancy]) -> None:
    table = Table(title="Redundancy, 95% intervals")
    table.add_column("measure")
    for name in found:
        table.add_column(name)
    for measured in Redundancy.__dataclass_fields__:
        table.add_row(measured, *(_written(getattr(one, measured)) for one in found.values()))
    _console.print(table)


def _written(value: Estimate | float | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, Estimate):
        return f"{interval(value, '{:.2f}'.format)} n={value.n}"
    return f"{value:.2f}"


if __name__ == "__main__":
    app()
