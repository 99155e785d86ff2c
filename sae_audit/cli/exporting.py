"""`sae-audit export`: a finished run for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sae_audit.cli import screen
from sae_audit.cli.prompt_texts import texts_of
from sae_audit.errors import AuditError

if TYPE_CHECKING:
    from sae_audit.record.run import Run


class Form(StrEnum):
    """Forms that a run can be exported to."""

    CSV = "csv"
    PARQUET = "parquet"
    INSPECT = "inspect"
    MODEL_CARD = "model-card"
    MLFLOW = "mlflow"
    WANDB = "wandb"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    to: Annotated[
        Form,
        typer.Option(
            help="csv, parquet: every table, a file each. inspect: an Inspect eval log of the audited "
            "prompts. model-card: a section in Markdown. mlflow, wandb: the numbers, as a run there."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder (csv, parquet) or file (inspect, model-card); if not given, RUN-FORM beside "
            "the run, but a model card goes to the screen."
        ),
    ] = None,
    project: Annotated[str, typer.Option(help="MLflow experiment or W&B project.")] = "sae-audit",
    with_texts: Annotated[
        bool,
        typer.Option(
            "--with-texts",
            help="Put the prompts' words into the Inspect log: harmful requests are then in that file.",
        ),
    ] = False,
) -> None:
    """Write a finished run in a form that other programs read.

    Examples:

      sae-audit export reports/organism --to parquet --out tables

      sae-audit export reports/organism --to inspect --out organism.eval; inspect view --log-dir .

      sae-audit export reports/organism --to model-card >> MODEL_CARD.md

    Prompts are named by their ids; only --with-texts reads their words, from where the audit did, if the
    files are the same.

    Exit codes: 0 done, 2 bad input.
    """
    from sae_audit.record.run import load_run
    from sae_audit.record.whole import fitting_together

    if with_texts and to is not Form.INSPECT:
        raise AuditError(f"--with-texts is for --to inspect; {to} holds no prompts' words.")
    found = load_run(run)
    with fitting_together(run):
        said = _exported(found, to, out, project, with_texts=with_texts)
    if said:
        screen.line(said)


def _exported(run: "Run", to: Form, out: Path | None, project: str, *, with_texts: bool) -> str:
    from sae_audit.exports import frames, inspect_log, model_card, trackers

    place = out or run.folder.parent / f"{run.folder.resolve().name}-{to}"
    match to:
        case Form.CSV:
            return f"{len(frames.write_csv(run, place))} tables: {place}"
        case Form.PARQUET:
            return f"{len(frames.write_parquet(run, place))} tables: {place}"
        case Form.INSPECT:
            file = out or place.with_name(f"{place.name}.eval")
            texts = texts_of(run) if with_texts else None
            return str(inspect_log.write_inspect_log(run, file, texts=texts))
        case Form.MODEL_CARD if out is None:
            typer.echo(model_card.model_card_section(run), nl=False)
            return ""
        case Form.MODEL_CARD:
            from sae_audit.record.layout import write_file

            write_file(place, model_card.model_card_section(run).encode())
            return str(place)
        case Form.MLFLOW:
            return f"MLflow run {trackers.to_mlflow(run, project)}"
        case Form.WANDB:
            return f"W&B run {trackers.to_wandb(run, project)}"
