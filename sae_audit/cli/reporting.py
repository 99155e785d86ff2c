"""`sae-audit report` and `schema`: output made from records alone."""

from pathlib import Path
from typing import Annotated

import typer

from sae_audit.cli import screen
from sae_audit.cli.prompt_texts import texts_of


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    explanations: Annotated[
        Path | None,
        typer.Option(
            help="Explanations of features to show on it: a file of your own, or Neuronpedia's export."
        ),
    ] = None,
    with_texts: Annotated[
        bool,
        typer.Option(
            "--with-texts",
            help="Write another page beside the run, RUN-with-texts.html, that shows the audit prompts' "
            "words: harmful requests are then in that file.",
        ),
    ] = False,
) -> None:
    """Write a run's index.html again, from its record alone.

    Examples:

      sae-audit report reports/organism

      sae-audit report reports/gemma-2-2b-it --explanations explanations/

      sae-audit report reports/organism --with-texts

    The record holds no words of prompts; only --with-texts reads them, from where the audit did, if the
    files are the same. The run's folder stays as it is then.

    Exit codes: 0 done, 2 no finished run, or other prompt files than the run's.
    """
    from sae_audit.record.explanations import read_explanations
    from sae_audit.record.run import load_run
    from sae_audit.record.whole import fitting_together
    from sae_audit.report.page import write_page, write_page_with_texts

    with fitting_together(run):
        found = load_run(run)
        if explanations is not None:
            named = [one.feature for one in found.features.named]
            said = read_explanations(explanations, found.manifest.saes, named)
            found.features.explanations |= said
        page = write_page_with_texts(found, texts_of(found)) if with_texts else write_page(found)
    screen.line(str(page))


def schema() -> None:
    """Print the JSON Schema of findings.json.

    Example: sae-audit schema > findings.schema.json
    """
    from sae_audit.record import findings_file

    typer.echo(findings_file.schema())
