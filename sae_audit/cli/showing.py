"""`sae-audit show` and `runs`: what finished runs say, from their records alone."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sae_audit.cli import screen
from sae_audit.cli.screen import escaped
from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

if TYPE_CHECKING:
    from sae_audit.record.run import Run

_MOST_RUNS = 1_000


class Listed(StrEnum):
    """Which prompts are listed."""

    LOST = "lost"
    """Refused prompts whose refusal their minimal set ends: in text if answers were read, else by
    score."""
    REFUSED = "refused"
    """Prompts that the model refuses on its own, harmful ones and harmless ones."""
    COMPLIED = "complied"
    """Harmful prompts that it answers on its own."""


def show(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    table: Annotated[bool, typer.Option("--table", help="Every finding with its control.")] = False,
    prompts: Annotated[
        Listed | None,
        typer.Option(
            help="List prompts by id and topic: lost (refused, until its minimal set is switched "
            "off), refused (on its own) or complied (harmful and answered on its own)."
        ),
    ] = None,
) -> None:
    """Say what a run found: what the first screen of its page says.

    Examples:

      sae-audit show reports/organism

      sae-audit show reports/organism --table

      sae-audit show reports/organism --prompts lost

    Exit codes: 0 done, 2 no finished run there.
    """
    from sae_audit.cli.verdict_screen import print_findings, print_first_screen
    from sae_audit.record.run import load_run
    from sae_audit.record.whole import fitting_together

    if table and prompts is not None:
        raise AuditError("--table and --prompts print different things; give one of them.")
    found = load_run(run)
    with fitting_together(run):
        if prompts is not None:
            _print_prompts(found, prompts)
        elif table:
            print_findings(found)
        else:
            print_first_screen(found)


def listed(run: "Run", which: Listed) -> list[tuple[str, str, str]]:
    """Id, label and topic of the prompts asked for, in the order of the record."""
    from sae_audit.margins import refuses

    audited = [one for one in run.scores if one.split == "audit"]
    if which is Listed.REFUSED:
        chosen = {one.prompt_id for one in audited if refuses(one.score)}
    elif which is Listed.COMPLIED:
        chosen = {
            one.prompt_id for one in audited if one.label == "harmful" and not refuses(one.score)
        }
    else:
        read = run.confirmation
        chosen = (
            {check.prompt_id for check in read.of_flips if check.complied}
            if read is not None and read.of_flips
            else {one.prompt_id for one in run.minimal_sets if one.flipped}
        )
    return [(one.prompt_id, one.label, one.category) for one in audited if one.prompt_id in chosen]


def _print_prompts(run: "Run", which: Listed) -> None:
    for prompt_id, label, topic in listed(run, which):
        screen.line("\t".join(filter(None, (prompt_id, label, topic))))


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs.")] = Path("reports"),
) -> None:
    """List the runs of a folder: model, date, finished or the stage reached, and verdict.

    Example: sae-audit runs reports

    Exit codes: 0 done, 2 no such folder.
    """
    from rich.table import Table

    if not folder.is_dir():
        raise AuditError(f"{shown(folder)} is no folder; name one that holds runs.")
    found = _folders(folder)
    if not found:
        screen.line(f"No run in {shown(folder)}.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("Run", "Model", "Date", "State", "Verdict"):
        table.add_column(name, overflow="fold")
    for one in found:
        table.add_row(*(escaped(cell) for cell in _row(one)))
    screen.out.print(table)


def _folders(folder: Path) -> list[Path]:
    """The folder itself if it holds a run, and those in it that do, by name."""
    from sae_audit.record.layout import BESIDE, STORE

    places = [folder, *sorted(one for one in folder.iterdir() if one.is_dir())]
    held = [one for one in places if (one / STORE).is_file() or (one / BESIDE / STORE).is_file()]
    return held[:_MOST_RUNS]


def _row(folder: Path) -> tuple[str, ...]:
    """Name, model, date, state and verdict; what cannot be read is said in the verdict's place."""
    from sae_audit.cli.verdict_screen import reading_said
    from sae_audit.record.layout import BESIDE, STORE
    from sae_audit.record.run import Run, load_run
    from sae_audit.record.whole import fitting_together
    from sae_audit.report.verdict.verdict import verdict

    name = folder.resolve().name
    making = folder if (folder / STORE).is_file() else folder / BESIDE
    try:
        own = Run(making)
        with fitting_together(making):
            if own.recorded.is_finished:
                found = verdict(load_run(making))
                said = f"{reading_said(found.reading)} {found.headline}"
                made = own.manifest
                return (name, made.model.id, made.finished[:10], "finished", said)
            return (name, own.config.model, "", _stage_reached(own), "")
    except AuditError as error:
        return (name, "", "", "cannot be read", str(error))


def _stage_reached(run: "Run") -> str:
    from sae_audit.findings.stages import STAGE_OF

    costs = run.recorded.costs
    return f"stopped after: {STAGE_OF[costs[-1].stage].label}" if costs else "begun"
