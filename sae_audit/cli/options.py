"""Arguments that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sae_audit.config import AuditConfig
from sae_audit.presets import build_config, preset_names

if TYPE_CHECKING:
    from sae_audit.comparison.decided import Limit
    from sae_audit.comparison.limits.rules import Undecided

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="[PRESET|CONFIG.yaml]",
        help=f"A preset ({', '.join(preset_names())}) or the config.yaml of an earlier run.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="A Hugging Face causal LM: a folder, or ORG/NAME[@REVISION] on the hub."),
]
Saes = Annotated[
    str | None,
    typer.Option(
        help="SAEs of its residual stream: a suite of `sae-audit catalog`, a release of sae_lens, "
        "ORG/NAME on the hub, or a folder with layer_0, layer_1, ..."
    ),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        help="Where prompts come from: a file, a published set (advbench, alpaca?limit=1000) or a "
        "hub data set; docs/prompts.md. Repeatable."
    ),
]
Catalog = Annotated[
    Path | None, typer.Option(help="File with SAE suites of your own, as catalog.yaml.")
]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of the model's hub repository.")
]
Adapter = Annotated[
    str | None, typer.Option(help="PEFT (LoRA) adapter on the model: a folder or hub id.")
]
TrustRemoteCode = Annotated[
    bool | None, typer.Option("--trust-remote-code", help="Run the checkpoint's own code.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1.")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any setting: candidates.per_layer=32. Repeatable."
    ),
]

FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="RULE",
        help="A limit, such as 'refusal_rate drops > 0.05'. Repeatable.",
    ),
]
LimitsFile = Annotated[
    Path | None,
    typer.Option("--limits", help="YAML file with limits, beside those of --fail-on."),
]


def limits_of(
    rules: Sequence[str] | None, file: Path | None
) -> "tuple[tuple[Limit, ...], Undecided | None]":
    """The limits given, or the default ones; and what the file says of undecided ones, if it does."""
    from sae_audit.comparison.limits.rules import DEFAULT, parsed_limits, read_limits

    read = read_limits(file) if file is not None else None
    texts = [*(rules or ()), *(map(str, read.limits) if read is not None else ())]
    return parsed_limits(texts) if texts else DEFAULT, read.undecided if read else None


def config_of(
    target: str | None,
    *,
    model: str | None,
    saes: str | None,
    prompts: list[str] | None,
    catalog: Path | None,
    device: str | None,
    dtype: str | None,
    settings: list[str] | None,
    **others: Any,
) -> AuditConfig:
    """One complete config; None means not given."""
    options = {
        "model": model,
        "saes": saes,
        "prompts.sources": prompts,
        "catalog": str(catalog) if catalog is not None else None,
        "device": device,
        "dtype": dtype,
        **others,
    }
    return build_config(target, options, settings or [])
