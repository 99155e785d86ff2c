"""`sae-audit feature`: what a run says of single features."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sae_audit.cli import screen
from sae_audit.cli.screen import escaped
from sae_audit.errors import AuditError

if TYPE_CHECKING:
    from sae_audit.record.feature import FeatureInRun
    from sae_audit.record.run import Run
    from sae_audit.vocabulary import FeatureId


def feature(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    feature: Annotated[
        str | None,
        typer.Argument(metavar="[FEATURE]", help="L16/25312; without one, all are listed."),
    ] = None,
    show_text: Annotated[
        bool,
        typer.Option(
            "--show-text",
            help="Print the words of the prompts on which it fires most, harmful ones too; in the "
            "terminal alone, nothing is written.",
        ),
    ] = False,
    explanations: Annotated[
        Path | None,
        typer.Option(help="Explanations: a file of your own, or Neuronpedia's export."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="VARIANT", help="Run of a variant: what became of the feature there."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write what is said of the feature as a page of its own."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")] = False,
) -> None:
    """Say what a run found of one feature, or list its features by importance.

    What it does to refusal, switched off, turned down, spared and switched on, beside random features;
    its partners, what it wakes; where it fires; the tokens and features that its decoder row points at.
    From the record alone: no model is loaded, but for --show-text, which opens its tokenizer.

    Examples:

      sae-audit feature reports/organism

      sae-audit feature reports/organism L2/554

      sae-audit feature reports/gemma-2-2b-it L16/25312 --explanations explanations/

      sae-audit feature reports/organism L2/554 --against reports/organism-tuned

      sae-audit feature reports/organism L2/554 --html L2-554.html

    Exit codes: 0 done, 2 no such run, feature or file.
    """
    if feature is None and (show_text or against is not None or html is not None):
        raise AuditError("Name a feature for --show-text, --against or --html, such as L16/25312.")
    from sae_audit.record.explanations import read_explanations
    from sae_audit.record.feature import parsed
    from sae_audit.record.run import load_run
    from sae_audit.record.whole import fitting_together

    found = load_run(run)
    with fitting_together(run):
        asked = [one.feature for one in found.features.named] if feature is None else []
        asked = [parsed(feature)] if feature is not None else asked
        if explanations is not None:
            saes = found.manifest.saes
            found.features.explanations |= read_explanations(explanations, saes, asked)
        shown = [found.features.of(one) for one in asked]
        if html is not None:
            _write_page(found, asked[0], html)
    if as_json:
        typer.echo(json.dumps(_as_data(shown if feature is None else shown[0]), indent=2))
    elif feature is None:
        _list(found, shown)
    else:
        from sae_audit.cli.feature_screen import print_feature

        print_feature(shown[0])
        if html is not None:
            screen.line(f"Page: {html}")
        if against is not None:
            screen.line(f"In {against.resolve().name}: {_role(found, against, asked[0])}")
        if show_text:
            _print_words(found, shown[0])
        else:
            screen.line("The words of these prompts: --show-text (prints them, writes nothing)")


def _write_page(run: "Run", feature: "FeatureId", page: Path) -> None:
    from sae_audit.record.layout import write_file
    from sae_audit.report.feature_page import render_feature

    write_file(page, render_feature(run, feature).encode())


def _role(run: "Run", variant: Path, feature: "FeatureId") -> str:
    from sae_audit.comparison.checks import check_comparable
    from sae_audit.comparison.feature_roles import feature_role
    from sae_audit.record.run import load_run

    other = load_run(variant)
    check_comparable(run, other)
    return feature_role(run, other, feature).sentence


def _as_data(found: "FeatureInRun | list[FeatureInRun]") -> object:
    from sae_audit.record.feature import as_data

    return [as_data(one) for one in found] if isinstance(found, list) else as_data(found)


def _list(run: "Run", found: "list[FeatureInRun]") -> None:
    from rich.table import Table

    if not found:
        screen.line("No finding of this run names a feature.")
        return
    table = Table(title=f"Features of {escaped(run.manifest.model.id)}, the most important first")
    table.add_column("Feature", no_wrap=True)
    table.add_column("What it is")
    table.add_column("Alone ends", justify="right")
    table.add_column("Fires on harmful", justify="right")
    table.add_column("Harmless", justify="right")
    from sae_audit.record.feature_words import counted

    for one in found:
        profile = one.profile
        cells = (
            ("not measured", "", "")
            if profile is None
            else (
                counted(profile.alone.turned),
                counted(profile.fires_harmful),
                counted(profile.fires_harmless),
            )
        )
        said = f"{one.verdict}. {one.explanation}" if one.explanation else one.verdict
        table.add_row(one.id, escaped(said), *cells)
    screen.out.print(table)
    screen.line(f"One of them: sae-audit feature {run.folder} {found[0].id}")


def _print_words(run: "Run", found: "FeatureInRun") -> None:
    from sae_audit.cli.prompt_words import words_of

    top = () if found.profile is None else found.profile.top
    words = words_of(run.config, [one.prompt_id for one in top])
    screen.line("")
    screen.line("Words of these prompts, harmful ones among them; nothing is written:")
    if words.obstacle:
        screen.line(f"Whole texts, since the tokenizer cannot be opened: {words.obstacle}")
    for one in top:
        around = words.around(one.prompt_id, one.position, one.n_tokens)
        screen.line(f"  {one.prompt_id}: {' '.join(around.split())}")
