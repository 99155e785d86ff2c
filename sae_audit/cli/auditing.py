"""`sae-audit audit`."""

from pathlib import Path
from typing import Annotated

import typer

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
from sae_audit.cli.progress import with_progress
from sae_audit.cli.verdict_screen import print_findings, print_verdict


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
    table: Annotated[
        bool, typer.Option("--table", help="Print every finding with its control, not the verdict.")
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

    Progress goes to stderr, the result to stdout.

    Exit codes: 0 done, 2 bad input, 3 incomplete, 130 stopped by Ctrl-C or a scheduler.
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
        config, lambda progress: run_audit(config, out, overwrite=overwrite, progress=progress)
    )
    if table:
        print_findings(run)
    else:
        print_verdict(run)
