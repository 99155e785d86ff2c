"""`sae-audit runs`: the runs of a folder, finished or not."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from sae_audit.cli import screen
from sae_audit.cli.screen import escaped
from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

_MOST_RUNS = 1_000

State = Literal["finished", "unfinished", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """One run of the list, by the names of its JSON."""

    run: str
    """Name of its folder."""
    state: State
    model: str = ""
    finished: str = ""
    """When; empty unless it is."""
    last_stage: str = ""
    """Name of the last stage recorded; empty if there is none, or if it is finished."""
    reading: str = ""
    """That of its verdict; empty unless it is finished."""
    said: str = ""
    """The verdict, the stage reached, or why it cannot be read, in words."""


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")] = False,
) -> None:
    """List the runs of a folder: model, date, finished or the stage reached, and verdict.

    Examples:

      sae-audit runs reports

      sae-audit runs reports --json | jq -r '.[] | select(.reading == "fails") | .run'

    Exit codes: 0 done, 2 no such folder.
    """
    if not folder.is_dir():
        raise AuditError(f"{shown(folder)} is no folder; name one that holds runs.")
    found = [_listed(one) for one in _folders(folder)]
    if as_json:
        typer.echo(json.dumps([_as_data(one) for one in found], indent=2))
    elif found:
        _print(found)
    else:
        screen.line(f"No run in {shown(folder)}.")


def _as_data(one: _Listed) -> dict[str, str | None]:
    """Names and numbers; the words are for people, except why a run cannot be read."""
    data = {name: value or None for name, value in asdict(one).items() if name != "said"}
    return {**data, "problem": one.said if one.state == "unreadable" else None}


def _print(found: list[_Listed]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("Run", "Model", "Date", "State", "Verdict"):
        table.add_column(name, overflow="fold")
    for one in found:
        state, said = one.state, one.said
        if state == "unfinished":
            state, said = said, ""
        elif state == "unreadable":
            state = "cannot be read"
        cells = (one.run, one.model, one.finished[:10], state, said)
        table.add_row(*(escaped(cell) for cell in cells))
    screen.out.print(table)


def _folders(folder: Path) -> list[Path]:
    """The folder itself if it holds a run, and those in it that do, by name."""
    from sae_audit.record.layout import BESIDE, STORE

    places = [folder, *sorted(one for one in folder.iterdir() if one.is_dir())]
    held = [one for one in places if (one / STORE).is_file() or (one / BESIDE / STORE).is_file()]
    return held[:_MOST_RUNS]


def _listed(folder: Path) -> _Listed:
    """What is known of the run in a folder; what cannot be read is said."""
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
            if not own.recorded.is_finished:
                return _unfinished(
                    name, own.config.model, [one.stage for one in own.recorded.costs]
                )
            found = verdict(load_run(making))
            return _Listed(
                run=name,
                state="finished",
                model=own.manifest.model.id,
                finished=own.manifest.finished,
                reading=found.reading.value,
                said=f"{reading_said(found.reading)} {found.headline}",
            )
    except AuditError as error:
        return _Listed(run=name, state="unreadable", said=str(error))


def _unfinished(name: str, model: str, stages: list[str]) -> _Listed:
    from sae_audit.findings.stages import STAGE_OF

    last = stages[-1] if stages else ""
    said = f"stopped after: {STAGE_OF[last].label}" if last else "begun"
    return _Listed(run=name, state="unfinished", model=model, last_stage=last, said=said)
