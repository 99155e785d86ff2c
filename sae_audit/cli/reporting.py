"""`sae-audit report` and `schema`: output made from records alone."""

from pathlib import Path
from typing import Annotated

import typer

from sae_audit.cli import screen


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
) -> None:
    """Write a run's index.html again, from its record alone."""
    from sae_audit.record.run import load_run
    from sae_audit.record.whole import fitting_together
    from sae_audit.report.page import write_page

    with fitting_together(run):
        page = write_page(load_run(run))
    screen.line(str(page))


def schema() -> None:
    """Print the JSON Schema of findings.json."""
    from sae_audit.record import findings_file

    typer.echo(findings_file.schema())
