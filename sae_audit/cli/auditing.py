"""`sae-audit audit`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sae_audit.cli import screen
from sae_audit.cli.options import (
    Adapter,
    Catalog,
    Device,
    Dtype,
    Model,
    Prompts,
    Revision,
    Saes,
    Settings,
    Target,
    TrustRemoteCode,
    config_of,
)
from sae_audit.cli.screen import escaped

if TYPE_CHECKING:
    from sae_audit.pipeline.session import Progress
    from sae_audit.record.run import Run


def audit(
    target: Target = None,
    model: Model = None,
    saes: Saes = None,
    prompts: Prompts = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the run; reports/NAME where not given.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the report calls the model.")] = None,
    chat_template: Annotated[
        str | None, typer.Option(help="Jinja file, for a tokenizer without a chat template.")
    ] = None,
    revision: Revision = None,
    adapter: Adapter = None,
    catalog: Catalog = None,
    device: Device = None,
    device_map: Annotated[
        str | None, typer.Option(help="auto spreads the model over several devices.")
    ] = None,
    dtype: Dtype = None,
    attn_implementation: Annotated[str | None, typer.Option(help="sdpa or eager.")] = None,
    trust_remote_code: TrustRemoteCode = None,
    seed: Annotated[int | None, typer.Option(help="Of splits, masks and controls.")] = None,
    settings: Settings = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another audit in the same folder.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress and no summary, only errors.")
    ] = False,
) -> None:
    """Audit one checkpoint: direction, minimal sets, interactions, cascades, controls, report.

    Examples:

      sae-audit audit organism

      sae-audit audit gemma-2-2b-it

      sae-audit audit --model ./my-model --saes ./my-saes --prompts prompts.jsonl --out my-audit

      sae-audit audit --model ORG/MODEL --adapter ./lora --saes llama-scope-res-8x --prompts
      advbench --prompts alpaca?limit=1000

      sae-audit audit organism --set candidates.per_layer=32 --out wider

      sae-audit audit organism --set minimal.certify=text --out by-text

    What is not in the hub's cache is downloaded; `sae-audit plan` says before how much, `sae-audit
    doctor` whether it can be. An interrupted audit resumes when the same command is run again.

    Flips are of the refusal score, read off the first token; with --set confirm=text answers are
    generated and judged too (presets do), and with --set minimal.certify=text each prompt gets a set
    that is minimal by its answers' text.

    A model that does not refuse, or whose refusal is not tied to harm (it refuses everything, or at
    random), gives a whole report that says so. A direction that breaks a limit ends nothing: the audit
    goes on with the best one, marked.

    Exit codes: 0 done, 2 bad input, 3 incomplete.
    """
    config = config_of(
        target,
        model=model,
        saes=saes,
        prompts=prompts,
        catalog=catalog,
        device=device,
        dtype=dtype,
        settings=settings,
        name=name,
        revision=revision,
        adapter=adapter,
        chat_template=chat_template,
        device_map=device_map,
        attn_implementation=attn_implementation,
        trust_remote_code=trust_remote_code,
        seed=seed,
    )
    from sae_audit.pipeline.audit import audit as run_audit

    if quiet:
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        run_audit(config, out, overwrite=overwrite)
        return
    run = with_progress(
        lambda progress: run_audit(config, out, overwrite=overwrite, progress=progress)
    )
    _print_summary(run)


def with_progress(work: "Callable[[Progress], Run]") -> "Run":
    """The result of the work, shown with one line per stage, and the downloads' own while it loads."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
    )

    from sae_audit.findings.stages import LOADING, Step

    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    display = Progress(*columns, console=screen.out)
    tasks: dict[Step, TaskID] = {}

    def progress(step: Step, done: int, total: int) -> None:
        if step is LOADING:
            if done == 0:
                screen.line(f"{step.label} ...")
            return
        if step not in tasks:
            display.start()
            tasks[step] = display.add_task(step.label, total=total)
        display.update(tasks[step], completed=done, total=total)

    try:
        return work(progress)
    finally:
        display.stop()


def _print_summary(run: "Run") -> None:
    from rich.table import Table

    from sae_audit.pages.wording import absence_headline
    from sae_audit.report.caveats import direction_caveats, sae_caveat
    from sae_audit.report.findings.card.quality import quality_lines
    from sae_audit.report.findings.card.splits import split_rows
    from sae_audit.report.page import summary

    if of_saes := sae_caveat(run):
        screen.line(of_saes)
    table = Table(title=f"Refusal audit of {escaped(run.manifest.model.id)}", show_lines=True)
    table.add_column("Question", style="bold", ratio=2)
    table.add_column("Answer", ratio=3)
    table.add_column("Beside it", ratio=3)
    for row in summary(run):
        table.add_row(*(escaped(cell) for cell in (row.question, row.answer, row.control)))
    screen.out.print(table)
    screen.line("How well the SAEs describe this model, on the audited prompts:")
    for described in quality_lines(run):
        screen.line(f"  {described}")
    for source in run.manifest.prompt_sources:
        left_out = ", ".join(f"{n} {why}" for why, n in source.set_aside.items() if n)
        screen.line(
            f"Prompts of {source.source}: {source.n_prompts}"
            + (f"; set aside: {left_out}" if left_out else "")
        )
    for row in split_rows(run.scores):
        if row.n_as_labelled < row.n:
            screen.line(
                f"Not treated as labelled: {row.n - row.n_as_labelled} of {row.n} {row.label} prompts "
                f"of {row.split}, set aside"
            )
    screen.line(_readout(run))
    screen.line(f"Report: {run.folder / 'index.html'}")
    for said in direction_caveats(run):
        screen.line(said)
    if run.absence is not None:
        screen.line(f"{absence_headline(run.absence.kind)} {run.absence.remedy}")


def _readout(run: "Run") -> str:
    tokens, readout = run.manifest.refusal_tokens, run.manifest.readout
    if tokens is not None:
        return f"Refusal tokens ({tokens.source}): {', '.join(map(repr, tokens.texts))}"
    return f"{readout.title}: {', '.join(f'{one.text!r} {one.role}' for one in readout.tokens)}"
