"""`sae-audit bench`: every method against models whose answer is known."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sae_audit.cli import screen
from sae_audit.cli.screen import escaped

if TYPE_CHECKING:
    from sae_audit.bench.cases import BenchProgress
    from sae_audit.bench.results import BenchResult


def bench(
    families: Annotated[
        list[str] | None,
        typer.Option("--family", help="Only this planted family; may be given again."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Models of every family and size.")] = 2,
    prompts: Annotated[int, typer.Option(min=4, help="Audited prompts of each label.")] = 4,
    quick: Annotated[
        bool, typer.Option("--quick", help="One small model of each family: a minute or two.")
    ] = False,
    false_alarms: Annotated[
        int,
        typer.Option(
            min=0,
            help="Audits of models without a mechanism, of each of four kinds, and of the organism, "
            "which has one; 0: none.",
        ),
    ] = 0,
    hostile: Annotated[
        int,
        typer.Option(
            min=0,
            help="Models of each hostile kind, on which a claim of the audit (features, pairs, backups, "
            "directions behind, harm, lost refusal) is false by construction, and of their true twins; "
            "73 show a rate below 5%, in about two hours; 0: none.",
        ),
    ] = 0,
    trained: Annotated[
        Path | None,
        typer.Option(help="Folder of trained organisms: audit the redundancy dial as well."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for bench.json and index.html.")] = Path(
        "reports/bench"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")] = False,
) -> None:
    """Hold every method against models whose refusal mechanism is known.

    Plants the mechanisms (a bottleneck, redundancy, backups, votes, ...) into the weights of small
    Llama and Gemma-2 checkpoints, and compares what each method finds with what is there. A killed
    bench resumes: finished models are kept in OUT/rows.

    Examples:

      sae-audit bench --quick

      sae-audit bench --family backups --family votes --seeds 5

      sae-audit bench --false-alarms 20

      sae-audit bench --quick --hostile 5
    """
    from sae_audit.bench.cases import cases
    from sae_audit.bench.page import render
    from sae_audit.bench.run import bench as run_bench
    from sae_audit.bench.stored import StoredRows
    from sae_audit.record.layout import write_file

    chosen = cases(families or [], n_seeds=seeds, quick=quick)
    with _progress_line() as progress:
        result = run_bench(
            chosen,
            n_prompts=prompts,
            command=_command(chosen=families or [], seeds=seeds, prompts=prompts, quick=quick),
            stored=StoredRows(out / "rows", n_prompts=prompts),
            progress=progress,
        )
        if false_alarms:
            from sae_audit.bench.alarms import alarm_rows

            result = replace(result, false_alarms=alarm_rows(false_alarms, progress))
        if hostile:
            from sae_audit.bench.hostile import hostile_rows
            from sae_audit.bench.power import power_rows

            rows = hostile_rows(hostile, out / "hostile", progress)
            powers = power_rows(hostile, out / "power", progress)
            result = replace(result, hostile=rows, power=powers)
        if trained is not None:
            from sae_audit.bench.dial import dial_rows, dial_trends

            rows = dial_rows(trained, out / "dial", progress)
            result = replace(result, dial=rows, dial_trends=dial_trends(rows))
    result.write(out / "bench.json")
    write_file(out / "index.html", render(result).encode())
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    _print(result)
    screen.line(f"Bench: {out / 'index.html'}")


def _command(*, chosen: list[str], seeds: int, prompts: int, quick: bool) -> str:
    """The command line of the planted part, with every option written out."""
    named = "".join(f" --family {family}" for family in chosen)
    models = "--quick" if quick else f"--seeds {seeds}"
    return f"sae-audit bench {models} --prompts {prompts}{named}"


@contextmanager
def _progress_line() -> "Iterator[BenchProgress]":
    """Context of a progress line: the audited model, and the number left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # To stderr: stdout holds the table, or the JSON.
    with Progress(*columns, console=screen.err) as display:
        task = display.add_task("", total=None)
        yield lambda what, done, total: display.update(
            task, description=escaped(what), completed=done, total=total
        )


def _print(result: "BenchResult") -> None:
    from rich.table import Table

    from sae_audit.bench.page import cell
    from sae_audit.pages.wording import interval

    table = Table(title="Methods against planted truths (means over models, 95% intervals)")
    for column in ("Stage", "Method", "Against the truth"):
        table.add_column(column)
    for column in ("Sets", "Seconds"):
        table.add_column(column, justify="right")
    before = ""
    for summary in result.summaries:
        stage = f"{summary.stage}, {summary.group}"
        if before and stage != before:
            table.add_section()
        measures = "; ".join(f"{name} {cell(summary, name)}" for name in summary.measures)
        table.add_row(
            "" if stage == before else stage,
            escaped(summary.method),
            escaped(measures),
            f"{summary.n_sets_scored:.0f}",
            f"{summary.seconds:.2f}",
        )
        before = stage
    for row in result.false_alarms:
        found = row.claimed
        claimed = f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] of {found.n}"
        table.add_row("false alarms", escaped(row.models), escaped(claimed), "", "")
    for row in result.hostile:
        found = row.stands
        stands = f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] of {found.n}"
        kind = "true" if row.is_true else "false"
        table.add_row(f"{row.claim}, {kind}", escaped(row.models), escaped(stands), "", "")
    for row in result.power:
        found = row.stands
        stands = f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] of {found.n}"
        planted = f"{row.mechanism}, {row.n_prompts} prompts"
        table.add_row(f"power, {row.claim}", escaped(planted), escaped(stands), "", "")
    for row in result.dial:
        measures = "; ".join(
            f"{name} {interval(one, '{:.2f}'.format)}" for name, one in row.measures.items()
        )
        bound = (
            f"; a lower bound, {row.n_beyond} prompts refused with all out" if row.n_beyond else ""
        )
        out = (
            f"; with all directions out {row.refused.own.value:.0%} refused, with as many random "
            f"ones {row.refused.random.mean:.0%}"
        )
        found = escaped(measures + bound + out)
        table.add_row("dial", f"{row.rounds} rounds, seed {row.seed}", found, "", "")
    for trend in result.dial_trends:
        rise = trend.rise
        apart = "apart" if rise.apart else "not apart"
        spearman = (
            "none"
            if rise.spearman is None
            else f"{rise.spearman:+z.2f} of {rise.n} models (p = {rise.p_value:.3f})"
        )
        said = f"Spearman {spearman}, intervals of neighbours {apart}"
        table.add_row("dial", f"{trend.measure}, seed {trend.seed}", said, "", "")
    screen.out.print(table)
