"""`sae-audit plan`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sae_audit.cli import screen
from sae_audit.cli.options import (
    Adapter,
    Catalog,
    Device,
    Dtype,
    FailOn,
    LimitsFile,
    Model,
    Prompts,
    Revision,
    Saes,
    Settings,
    Target,
    TrustRemoteCode,
    config_of,
    limits_of,
)
from sae_audit.cli.screen import escaped

if TYPE_CHECKING:
    from sae_audit.planning.evidence import Evidence
    from sae_audit.planning.memory import Memory
    from sae_audit.planning.plan import Plan


def plan(
    target: Target = None,
    model: Model = None,
    saes: Saes = None,
    prompts: Prompts = None,
    catalog: Catalog = None,
    device: Device = None,
    dtype: Dtype = None,
    settings: Settings = None,
    revision: Revision = None,
    adapter: Adapter = None,
    trust_remote_code: TrustRemoteCode = None,
    fail_on: FailOn = None,
    limits: LimitsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")] = False,
) -> None:
    """Say what an audit would cost, before anything large is downloaded.

    Forward passes and time of every stage, from a calibration of some seconds on this machine;
    memory for model, SAEs and what is kept; disk. What so many prompts can show: the smallest p of the
    null, the smallest loss that a comparison with another audit would find, and whether they suffice for
    limits (the default ones of compare, or those of --fail-on and --limits). If the audit would not fit,
    the settings that make it fit. Nothing is fetched but configs; offline, what the cache holds is used,
    and what could not be checked is said.

    Examples:

      sae-audit plan gemma-2-2b-it

      sae-audit plan llama-3.1-8b-it --device cuda --set candidates.per_layer=64

      sae-audit plan gemma-2-2b-it --fail-on 'refusal_rate drops > 0.02'

    Exit codes: 0 it fits, 2 it does not, or the plan could not be made.
    """
    asked, _ = limits_of(fail_on, limits)
    config = config_of(
        target,
        model=model,
        saes=saes,
        prompts=prompts,
        catalog=catalog,
        device=device,
        dtype=dtype,
        settings=settings,
        revision=revision,
        adapter=adapter,
        trust_remote_code=trust_remote_code,
    )
    from sae_audit.planning.plan import make_plan

    if as_json:
        made = make_plan(config, asked)
        typer.echo(json.dumps(_as_data(made), indent=2))
    else:
        with screen.err.status("Timing this machine ..."):
            made = make_plan(config, asked)
        _show(made)
    if not (made.memory.fits and made.disk_suffices):
        raise typer.Exit(2)


def _as_data(made: "Plan") -> dict[str, object]:
    return {
        "fits": made.memory.fits and made.disk_suffices,
        "device": made.device,
        "forward_passes": made.forward_passes,
        "seconds": made.seconds,
        "most_forward_passes": made.most_forward_passes,
        "most_seconds": made.most_seconds,
        "loading_seconds": made.loading_seconds,
        "stages": [asdict(stage) for stage in made.stages],
        "memory": {
            "items": [asdict(item) for item in made.memory.items],
            "needed_device": made.memory.needed_device,
            "free_device": made.memory.free_device,
            "needed_host": made.memory.needed_host,
            "free_host": made.memory.free_host,
        },
        "downloads": [
            {
                "purpose": one.purpose,
                "repository": one.held.repository.name,
                "commit": one.held.commit,
                "bytes": one.n_bytes,
                "missing_bytes": one.missing_bytes,
            }
            for one in made.downloads
        ],
        "downloads_known": made.downloads_known,
        "free_disk": made.free_disk,
        "remedies": list(made.remedies),
        "notes": list(made.notes),
        "evidence": asdict(made.evidence),
        "limits": [asdict(need) for need in made.limits],
    }


def _show(made: "Plan") -> None:
    from rich.table import Table

    from sae_audit.hub import gigabytes

    stages = Table(title=f"An audit on {made.device}, prompts of {made.prompt_tokens:.0f} tokens")
    stages.add_column("Stage")
    stages.add_column("Forward passes", justify="right")
    stages.add_column("Time", justify="right")
    stages.add_column("Assumes")
    for stage in made.stages:
        passes = _up_to(f"{stage.forward_passes:,}", f"{stage.most_forward_passes:,}")
        seconds = _up_to(duration(stage.seconds), duration(stage.most_seconds))
        stages.add_row(stage.stage, passes, seconds, escaped(stage.assumed))
    stages.add_section()
    stages.add_row("loading", "", duration(made.loading_seconds), "")
    stages.add_row(
        "all",
        _up_to(f"{made.forward_passes:,}", f"{made.most_forward_passes:,}"),
        _up_to(duration(made.seconds), duration(made.most_seconds)),
        "at most: what is assumed of directions does not hold",
    )
    screen.out.print(stages)
    screen.out.print(_memory_table(made.memory))
    screen.out.print(_evidence_table(made.evidence))
    for line in _on_categories(made.evidence):
        screen.line(line)
    screen.line("Limits of a comparison:")
    for need in made.limits:
        screen.line(f"  {need.said}")
    for download in made.downloads:
        screen.line(download.described())
    to_come = gigabytes(made.missing_bytes) if made.downloads_known else "an unknown size"
    screen.line(f"Disk: {to_come} to download, {gigabytes(made.free_disk)} free.")
    for note in made.notes:
        screen.line(f"Note: {note}")
    screen.line(_verdict(made))


def _up_to(expected: str, most: str) -> str:
    """The expected number, with the most beside it if that is another."""
    return expected if most == expected else f"{expected}, at most {most}"


def _memory_table(memory: "Memory") -> "object":
    from rich.table import Table

    from sae_audit.hub import gigabytes
    from sae_audit.planning.memory import LARGEST_BATCH

    table = Table(title="Memory at its largest")
    table.add_column("What")
    table.add_column("Size", justify="right")
    table.add_column("Where")
    for item in memory.items:
        where = "host" if item.on_host or memory.device == "cpu" else memory.device
        if item.name == LARGEST_BATCH and memory.device != "cpu":
            where += ", at most: batches grow into what is free"
        table.add_row(item.name, gigabytes(item.n_bytes), where)
    table.add_section()
    if memory.device != "cpu":
        table.add_row(
            "on the device",
            gigabytes(memory.needed_device),
            f"{gigabytes(memory.free_device)} free",
        )
    table.add_row(
        "on the host", gigabytes(memory.needed_host), f"{gigabytes(memory.free_host)} free"
    )
    return table


def _evidence_table(evidence: "Evidence") -> "object":
    from rich.table import Table

    dictionaries = evidence.smallest_p_of_dictionaries
    table = Table(
        title="What it can show, by audit prompts of each label",
        caption=f"Smallest p: {evidence.smallest_p_of_pools:.2g} against random pools, "
        + (
            f"{dictionaries:.2g} against null dictionaries"
            if dictionaries
            else "no null dictionaries, so no claim about features"
        ),
    )
    table.add_column("Prompts", justify="right")
    table.add_column("Loss of refusal a comparison finds (80%)", justify="right")
    table.add_column("... if half are refused", justify="right")
    table.add_column("Change of the mean score, in SD", justify="right")
    for row in evidence.sizes:
        table.add_row(
            f"{row.n} (planned)" if row.is_planned else str(row.n),
            *(_points(loss) for loss in (row.smallest_loss, row.smallest_loss_half)),
            "none" if row.smallest_shift is None else f"{row.smallest_shift:.2f}",
        )
    return table


def _points(loss: float | None) -> str:
    return "none" if loss is None else f"{100 * loss:.0f} points"


def _on_categories(evidence: "Evidence") -> list[str]:
    (planned,) = [row for row in evidence.sizes if row.is_planned]
    lines = [
        f"A comparison of such audits corrects for {evidence.n_tests} tests (other sizes: for 8)."
    ]
    if not evidence.categories:
        needed = (
            f"A category needs {planned.smallest_category} audit prompts for a test of its own."
        )
        return [*lines, needed]
    n, total = len(evidence.categories) - len(evidence.untested), len(evidence.categories)
    told = f"Of {total} categories {n} have prompts enough for a test of their own"
    if evidence.untested:
        largest = evidence.untested[0]
        told += (
            f"; the largest of the others, {largest.category} ({largest.label}), has {largest.n}. A "
            f"category tested alone needs {planned.smallest_category}"
        )
    return [*lines, f"{told}."]


def _verdict(made: "Plan") -> str:
    if not made.disk_suffices:
        return "It does not fit: the disk is too small; set HF_HOME to a larger one."
    if made.memory.fits:
        about = _up_to(duration(made.seconds), duration(made.most_seconds))
        return f"It fits, and takes about {about}."
    if not made.remedies:
        return "It does not fit, and no setting would make it fit; use a device with more memory."
    return f"It does not fit; it would with {' or with '.join(made.remedies)}."


def duration(seconds: float) -> str:
    """A duration for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
