"""`sae-audit show`: what a finished run says, from its record alone."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sae_audit.cli import screen
from sae_audit.errors import AuditError

if TYPE_CHECKING:
    from sae_audit.record.run import Run


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
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Reading, figures and limits as JSON, for other programs."),
    ] = False,
) -> None:
    """Say what a run found: what the first screen of its page says.

    Examples:

      sae-audit show reports/organism

      sae-audit show reports/organism --table

      sae-audit show reports/organism --prompts lost

      sae-audit show reports/organism --json | jq -r .reading

    Exit codes: 0 done, 2 no finished run there.
    """
    from sae_audit.cli.verdict_screen import print_findings, print_first_screen
    from sae_audit.record.run import load_run
    from sae_audit.record.whole import fitting_together

    if sum((table, prompts is not None, as_json)) > 1:
        raise AuditError("--table, --prompts and --json print different things; give one of them.")
    found = load_run(run)
    with fitting_together(run):
        if as_json:
            from sae_audit.report.verdict.data import as_data

            typer.echo(json.dumps(as_data(found), indent=2))
        elif prompts is not None:
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
