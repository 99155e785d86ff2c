"""`sae-audit report` and `schema`: output made from records alone."""

from pathlib import Path
from typing import Annotated

import typer

from sae_audit.cli import screen


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    explanations: Annotated[
        Path | None,
        typer.Option(
            help="Explanations of features to show on it: a file of your own, or Neuronpedia's export."
        ),
    ] = None,
) -> None:
    """Write a run's index.html again, from its record alone."""
    from sae_audit.record.explanations import read_explanations
    from sae_audit.record.run import load_run
    from sae_audit.record.whole import fitting_together
    from sae_audit.report.page import write_page

    with fitting_together(run):
        found = load_run(run)
        if explanations is not None:
            named = [one.feature for one in found.features.named]
            said = read_explanations(explanations, found.manifest.saes, named)
            found.features.explanations |= said
        page = write_page(found)
    screen.line(str(page))


def schema() -> None:
    """Print the JSON Schema of findings.json."""
    from sae_audit.record import findings_file

    typer.echo(findings_file.schema())
