"""`sae-audit compare`, `report` and `schema`: output made from records alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sae_audit.cli import screen
from sae_audit.cli.screen import escaped

if TYPE_CHECKING:
    from sae_audit.comparison import Comparison


def compare(
    run_a: Annotated[Path, typer.Argument(help="Run of the parent checkpoint.")],
    run_b: Annotated[Path, typer.Argument(help="Run of the variant, on the same prompts.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the comparison; reports/A-vs-B if not given.")
    ] = None,
) -> None:
    """State, with paired intervals, what one checkpoint lost or gained against another.

    Example: sae-audit compare reports/organism reports/organism-tuned
    """
    from sae_audit.comparison import compare as compare_runs
    from sae_audit.comparison.page import write_comparison

    comparison = compare_runs(run_a, run_b)
    folder = out or Path("reports") / f"{run_a.resolve().name}-vs-{run_b.resolve().name}"
    page = write_comparison(comparison, folder)
    _print_verdicts(comparison)
    screen.line(f"\nComparison: {page}")


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


def _print_verdicts(comparison: "Comparison") -> None:
    from rich.table import Table

    table = Table(title="What the second checkpoint lost or gained", show_lines=True)
    table.add_column("Finding")
    table.add_column("Statement", ratio=3)
    table.add_column("Evidence", ratio=3)
    for verdict in comparison.verdicts:
        table.add_row(*(escaped(c) for c in (verdict.kind, verdict.statement, verdict.evidence)))
    screen.out.print(table)
