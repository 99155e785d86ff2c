"""The published form of a run's record."""

from collections.abc import Callable, Mapping
from typing import Any

from sae_audit.margins import refuses
from sae_audit.record.findings_file import AuditedModel, AuditedPrompts, Cost, Findings
from sae_audit.record.run import Run

_VERSION = "schema_version"


def published(run: Run) -> Findings:
    """The content of `findings.json`: everything that the record holds.

    A field is the property of `Run` of its name, unless `OTHERWISE` has it.
    """
    fields: dict[str, Any] = {
        name: OTHERWISE[name](run) if name in OTHERWISE else getattr(run, name)
        for name in Findings.model_fields
        if name != _VERSION
    }
    return Findings(**fields)


def _prompts(run: Run) -> AuditedPrompts:
    audited = [score for score in run.scores if score.split == "audit"]

    def count(label: str, *, refused: bool) -> int:
        return sum(s.label == label and (not refused or refuses(s.score)) for s in audited)

    return AuditedPrompts(
        harmful=count("harmful", refused=False),
        harmless=count("harmless", refused=False),
        refused_harmful=count("harmful", refused=True),
        refused_harmless=count("harmless", refused=True),
        safe_lookalikes=count("safe_lookalike", refused=False),
        refused_lookalikes=count("safe_lookalike", refused=True),
    )


def _cost(run: Run) -> Cost:
    stages = run.manifest.stages
    return Cost(
        forward_passes=sum(stage.forward_passes for stage in stages),
        tokens=sum(stage.tokens for stage in stages),
    )


OTHERWISE: Mapping[str, Callable[[Run], object]] = {
    "model": lambda run: AuditedModel.model_validate(run.manifest.model, from_attributes=True),
    "saes": lambda run: list(run.manifest.saes),
    "sae_quality": lambda run: run.quality,
    "prompts": _prompts,
    "direction": lambda run: None if run.stopped_early else run.direction,
    "candidates": lambda run: None if run.stopped_early else run.candidates,
    "widened_pools": lambda run: list(run.widened.values()),
    "interactions": lambda run: run.pooled_graph,
    "interactions_by_prompt": lambda run: run.prompt_graphs,
    "cost": _cost,
}
"""Fields that no property of their name gives, or one that raises or means something else."""
