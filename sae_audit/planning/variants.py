"""What must be audited before checkpoints can be compared: alike, and with prompts enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_audit.config import AuditConfig
from sae_audit.pipeline.running import default_folder
from sae_audit.prompts.sources import kept_sources
from sae_audit.prompts.splits import most_audit_prompts, n_lookalikes
from sae_audit.record.run import Run

_OF_THE_CHECKPOINT = (
    *("model", "name", "revision", "quantization"),
    *("adapter", "adapter_scale", "adapter_merged", "accept_other_base"),
    *("chat_template", "device_map", "dtype", "attn_implementation"),
)
"""Settings that say which checkpoint is audited and how it is loaded; all others are the parent's."""


@dataclass(frozen=True, kw_only=True)
class Enough:
    """How many audit prompts a parent that is still to be audited gets."""

    n: int
    asked: int
    """As many as its limits ask for; 0 if they ask for none."""
    most: int
    """As many as its sources hold."""
    lookalikes: int = 0
    """Safe look-alikes that are scored beside them."""
    lookalikes_asked: int = 0
    """As many as the limit on over-refusal asks for; 0 if it asks for none."""


def enough_prompts(config: AuditConfig, asked: int, lookalikes_asked: int = 0) -> Enough:
    """The number of audit prompts of each label: its settings', or as many more as the limits ask for
    and its sources hold; and the number of look-alikes likewise.

    Raises:
        AuditError: its sources cannot be read.
    """
    if asked <= config.prompts.audit:
        return Enough(n=config.prompts.audit, asked=asked, most=config.prompts.audit)
    prompts = [p for source in kept_sources(config.prompts.sources) for p in source.prompts]
    most = most_audit_prompts(prompts, config.prompts)
    n = max(config.prompts.audit, min(asked, most))
    return Enough(
        n=n,
        asked=asked,
        most=most,
        lookalikes=min(
            n_lookalikes(prompts, config.prompts), with_prompts(config, n).prompts.most_lookalikes
        ),
        lookalikes_asked=lookalikes_asked,
    )


def with_prompts(config: AuditConfig, n: int) -> AuditConfig:
    """The settings with so many audit prompts of each label, and at least as many look-alikes unless
    these are left out."""
    changed: dict[str, int] = {"audit": n}
    if config.prompts.lookalikes:
        changed["lookalikes"] = max(n, config.prompts.lookalikes)
    return config.model_copy(update={"prompts": config.prompts.model_copy(update=changed)})


def as_parent(variant: AuditConfig, parent: Run) -> AuditConfig:
    """The variant's settings with everything that is not of the checkpoint as in the parent's run: its
    prompts, SAEs and method, and the refusal tokens that it was scored by, so that scores compare."""
    own: dict[str, Any] = {name: getattr(variant, name) for name in _OF_THE_CHECKPOINT}
    tokens = parent.manifest.refusal_tokens
    if tokens is not None and tokens.source in ("found", "openings"):
        own["refusal_tokens"] = tokens.texts
    own["device"] = variant.device
    own["trust_remote_code"] = variant.trust_remote_code
    return AuditConfig.model_validate(parent.config.model_dump() | own)


def folder_of(config: AuditConfig, usual: int) -> Path:
    """`reports/NAME`, or `reports/NAME-73-prompts` where the number of prompts is not the usual one, so
    that an audit with its own settings is left alone.

    Raises:
        AuditError: the name is no name of a folder.
    """
    folder = default_folder(config)
    n = config.prompts.audit
    return folder if n == usual else folder.with_name(f"{folder.name}-{n}-prompts")


def said_beforehand(names: Sequence[str], enough: Enough, *, of_run: bool) -> str:
    """What is audited first, with how many prompts, and why."""
    n = enough.n
    listed = ", ".join(names)
    head = f"Not audited yet: {listed}. "
    if of_run:
        head += f"Audited first on the parent's {n} harmful and {n} harmless prompts, SAEs and settings."
    else:
        head += f"Audited first with {n} harmful and {n} harmless prompts."
    if not enough.asked:
        return head
    if 0 < enough.lookalikes < enough.lookalikes_asked:
        head += (
            f" Over-refusal is measured on {enough.lookalikes} safe look-alikes, and its limit asks for "
            f"{enough.lookalikes_asked}"
            + ("." if of_run else ": add some, or leave them out (--set prompts.lookalikes=0).")
        )
    if n >= enough.asked:
        return (
            f"{head} The limits ask for {enough.asked}, or nothing could be within them for sure."
        )
    held = "the parent's run has" if of_run else "the prompt sources allow"
    return (
        f"{head} The limits ask for {enough.asked}, and {held} {n}: that nothing changed cannot be "
        f"shown with these; {'compare the models themselves' if of_run else 'add prompts'} for more."
    )
