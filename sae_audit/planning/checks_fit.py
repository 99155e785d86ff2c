"""Requests against resources: prompts for the splits, memory for weights and SAEs."""

from collections import Counter

from sae_audit.bundled import named_file
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.hub import gigabytes
from sae_audit.planning.checks import Check, attempted, failure, unknown
from sae_audit.planning.facts import subject_facts
from sae_audit.planning.judge import opened_judge, unsure_of_judge
from sae_audit.planning.memory import LARGEST_BATCH, Memory, memory_of, precision_of, remedies
from sae_audit.prompts.selection import left_out, selected
from sae_audit.prompts.sources import kept_sources
from sae_audit.prompts.splits import split_prompts
from sae_audit.prompts.taxonomy import categorised_prompts, read_taxonomy
from sae_audit.prompts.types import CONTRASTED
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.judges import models
from sae_audit.subject.model.devices import usable_device
from sae_audit.untrusted import shown

_FAILS, _WARNS = 0.95, 0.80
"""Shares of the free memory above which a check fails or warns."""


def check_prompts(config: AuditConfig) -> list[Check]:
    """Whether both labels have enough prompts; the sources must be on this machine."""
    sources = attempted(lambda: kept_sources(config.prompts.sources))
    if isinstance(sources, AuditError):
        return [failure("prompts", sources)]
    prompts = [prompt for source in sources for prompt in source.prompts]
    splits = attempted(lambda: split_prompts(prompts, config.prompts, config.seed))
    if isinstance(splits, AuditError):
        return [failure("prompts", splits)]
    labels = Counter(prompt.label.value for prompt in selected(prompts, config.prompts))
    counted = " and ".join(f"{labels[label]:,} {label}" for label in sorted(CONTRASTED))
    needed = config.prompts.train + config.prompts.validation + config.prompts.audit
    found = f"{counted} in {len(sources)} source{'s' if len(sources) > 1 else ''}"
    set_aside = sum(
        (Counter(source.set_aside) for source in sources), left_out(prompts, config.prompts)
    )
    if set_aside:
        found += " (set aside: " + ", ".join(f"{n:,} {why}" for why, n in set_aside.items()) + ")"
    found += f"; {needed} of each are needed"
    if n_lookalikes := len(splits.lookalikes):
        found += f"; over-refusal is measured on {n_lookalikes} safe look-alikes too"
    return [Check(name="prompts", status="ok", found=found)]


def check_categories(config: AuditConfig) -> list[Check]:
    """Whether every category of the taxonomy has prompts; none without a taxonomy."""
    asked = config.categories.taxonomy
    if asked is None:
        return []
    found = attempted(lambda: categorised_prompts(read_taxonomy(asked)))
    if isinstance(found, AuditError):
        return [failure("categories", found)]
    sizes = {name: len(own) for name, own in found.categories.items()}
    few = [name for name, n in sizes.items() if n < config.categories.minimum]
    said = (
        f"{len(sizes)} categories of {min(sizes.values())} to {max(sizes.values())} requests, and "
        f"{len(found.harmless)} harmless ones"
    )
    if few:
        remedy = "Add requests, or set categories.minimum lower; they are left out otherwise."
        return [
            Check(
                name="categories",
                status="warning",
                found=f"{said}; fewer than {config.categories.minimum}: {', '.join(few)}",
                remedy=remedy,
            )
        ]
    return [Check(name="categories", status="ok", found=said)]


def check_judge(config: AuditConfig) -> list[Check]:
    """Whether the judge's small files are there, and its weights complete by their headers."""
    if config.confirm != "text" or config.judge.kind == "substring":
        return []
    template = config.judge.template
    if template is not None and not named_file(template).is_file():
        remedy = "Give the file in judge.template; its wording is on the judge's model card."
        found = f"there is no template file {template}"
        return [Check(name="judge", status="failed", found=found, remedy=remedy)]
    unsure = attempted(lambda: _unsure_of_judge(config))
    if isinstance(unsure, AuditError):
        return [failure("judge", unsure)]
    if unsure:
        return [unknown("judge", unsure)]
    named = f"{config.judge.kind}, {shown(config.judge.model or '')}"
    return [Check(name="judge", status="ok", found=named)]


def _unsure_of_judge(config: AuditConfig) -> str:
    if config.judge.template is not None:
        models.read_template(named_file(config.judge.template))
    unsure = unsure_of_judge(config)
    opened = opened_judge(config, config_only=False)
    if config.judge.kind == "classifier":
        models.complied_class(opened, config.judge.complied_label or "")
    models.readable_tokenizer(opened)
    return unsure


def check_memory(config: AuditConfig, model: Checkpoint | AuditError | None) -> list[Check]:
    """Weights, SAEs and caches compared with free memory; batches adapt to the rest.

    A gated model (None) is estimated if its shape is known.
    """
    device = attempted(lambda: usable_device(config.device))
    if isinstance(device, AuditError):
        return [unknown("memory", "it needs the device")]
    if config.device_map is not None:
        return [unknown("memory", "device_map leaves it to accelerate where the weights lie")]
    if isinstance(model, AuditError):
        return [unknown("memory", "it needs the model")]
    try:
        facts = attempted(lambda: subject_facts(config))
    except (
        ValueError,
        OSError,
    ) as error:  # the config needs its own code
        return [unknown("memory", str(error).splitlines()[0])]
    if isinstance(facts, AuditError):
        return [unknown("memory", str(facts))]
    memory = memory_of(config, facts, device=device)
    chosen = precision_of(config, facts, device)
    parts = {item.name: item.n_bytes for item in memory.items}
    share, room = _tightest(memory)
    found = (
        f"model {gigabytes(parts['model'])} in {config.quantization or chosen.dtype} "
        f"({'asked for' if config.quantization else chosen.reason}) and SAEs "
        f"{gigabytes(parts['SAEs'])}; {room}; sae-audit plan tells more"
    )
    if share <= _WARNS:
        return [Check(name="memory", status="ok", found=found)]
    changes = remedies(config, facts, device=device)
    remedy = "Use a smaller width of SAEs, fewer layers, or a device with more memory."
    if changes:
        remedy = f"Add {', or '.join(changes)}."
    status = "failed" if share > _FAILS else "warning"
    return [Check(name="memory", status=status, found=found, remedy=remedy)]


def _tightest(memory: Memory) -> tuple[float, str]:
    """The larger used share of device or host memory, and both in words."""
    lasting = [item for item in memory.items if item.name != LARGEST_BATCH]
    on_host = sum(item.n_bytes for item in lasting if item.on_host)
    on_device = sum(item.n_bytes for item in lasting if not item.on_host)
    if not memory.device.startswith("cuda"):
        both = on_host + on_device
        said = f"{gigabytes(both)} in all, of {gigabytes(memory.free_host)} free"
        return both / memory.free_host, said
    said = (
        f"{gigabytes(on_device)} of {gigabytes(memory.free_device)} free on {memory.device}, "
        f"{gigabytes(on_host)} of {gigabytes(memory.free_host)} on the host"
    )
    return max(on_device / memory.free_device, on_host / memory.free_host), said
