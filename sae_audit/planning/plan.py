"""Cost of an audit before any large download: passes, time, memory, disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sae_audit.comparison.decided import Limit
from sae_audit.comparison.limits.rules import DEFAULT
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.hub import free_disk_bytes
from sae_audit.pipeline.pricing import Work
from sae_audit.planning.calibration import UnitCosts, calibrated
from sae_audit.planning.downloads import Download, downloads_of
from sae_audit.planning.evidence import Evidence, evidence_of
from sae_audit.planning.facts import SubjectFacts, subject_facts
from sae_audit.planning.limits import LimitNeed, needs_of
from sae_audit.planning.memory import Memory, memory_of, precision_of, remedies
from sae_audit.planning.work import work_of
from sae_audit.subject.model.devices import check_device_map, usable_device

_READ_RATE = 1.0e9
"""Bytes per second at which weights are read and hashed, an assumption."""
_START_S = 12.0
"""Seconds for imports, tokenizer and checks."""


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    stage: str
    forward_passes: int
    seconds: float
    most_forward_passes: int
    """The same if what is assumed does not hold, as when no direction passes the filters; equal to
    `forward_passes` if nothing else is known."""
    most_seconds: float
    assumed: str
    """Assumption of the estimate, if the stage depends on its findings."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Requirements of one audit."""

    stages: tuple[StagePlan, ...]
    loading_seconds: float
    memory: Memory
    downloads: tuple[Download, ...]
    downloads_known: bool
    """Whether `downloads` is complete; False if the hub could not be asked."""
    free_disk: int
    device: str
    prompt_tokens: float
    remedies: tuple[str, ...]
    """Settings that would make it fit; empty if it fits, or if none would."""
    notes: tuple[str, ...]
    """Assumptions, and facts that could not be checked."""
    evidence: Evidence
    """What the audit will be able to show."""
    limits: tuple[LimitNeed, ...]
    """What each limit of a later comparison needs."""

    @property
    def forward_passes(self) -> int:
        return sum(stage.forward_passes for stage in self.stages)

    @property
    def most_forward_passes(self) -> int:
        return sum(stage.most_forward_passes for stage in self.stages)

    @property
    def most_seconds(self) -> float:
        """Seconds from start to report if none of the assumptions with a bound holds."""
        return sum(stage.most_seconds for stage in self.stages) + self.loading_seconds

    @property
    def stage_seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Seconds from start to report, without downloads."""
        return self.stage_seconds + self.loading_seconds

    @property
    def missing_bytes(self) -> int:
        return sum(download.missing_bytes for download in self.downloads)

    @property
    def disk_suffices(self) -> bool:
        return self.missing_bytes <= self.free_disk


def make_plan(config: AuditConfig, limits: Sequence[Limit] = DEFAULT) -> Plan:
    """The plan: work counted, its units timed on this machine, memory added up; and what the limits of
    a later comparison need.

    Downloads only configs and the hub's listings. Takes some seconds, as the calibration runs a few
    layers of the model's shape.

    Raises:
        AuditError: Model, SAEs or prompts are missing, or do not fit each other; no such device.
    """
    device = usable_device(config.device)
    check_device_map(config.device_map)
    facts = subject_facts(config)
    notes = list(facts.notes)
    found = _downloads(config, notes)
    memory = memory_of(config, facts, device=device)
    chosen = precision_of(config, facts, device)
    if config.dtype == "auto" and facts.dtype != "float32":
        notes.append(f"Weights are loaded in {chosen.dtype}: {chosen.reason}.")
    costs = _costs(config, facts, device)
    return Plan(
        stages=tuple(
            _stage(stage.name, work, costs) for stage, work in work_of(config, facts).items()
        ),
        loading_seconds=_START_S + _loading(config, facts),
        memory=memory,
        downloads=found or (),
        downloads_known=found is not None,
        free_disk=free_disk_bytes(),
        device=device,
        prompt_tokens=facts.prompt_tokens,
        remedies=() if memory.fits else tuple(remedies(config, facts, device=device)),
        notes=tuple(dict.fromkeys(notes)),
        evidence=evidence_of(config.prompts.audit, facts.categories, config.evidence),
        limits=needs_of(limits, config.prompts.audit, facts.categories),
    )


def _stage(name: str, work: Work, costs: UnitCosts) -> StagePlan:
    most = work.most or work
    return StagePlan(
        stage=name,
        forward_passes=round(work.forward_passes),
        seconds=costs.seconds(work),
        most_forward_passes=round(most.forward_passes),
        most_seconds=costs.seconds(most),
        assumed=work.assumed,
    )


def _downloads(config: AuditConfig, notes: list[str]) -> tuple[Download, ...] | None:
    try:
        return tuple(downloads_of(config))
    except AuditError as error:
        notes.append(f"The size of the downloads is not known: {error}")
        return None


def _costs(config: AuditConfig, facts: SubjectFacts, device: str) -> UnitCosts:
    kinds = {
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
        "float64": torch.float64,
    }
    dtype = kinds[precision_of(config, facts, device).dtype]
    sae_dtype = torch.bfloat16 if config.sae_dtype in ("bfloat16", "float16") else torch.float32
    return calibrated(
        facts,
        device=device,
        dtype=dtype,
        sae_dtype=sae_dtype,
        tokens_per_batch=config.tokens_per_batch,
        n_prompts=config.prompts.validation,
        n_masks=config.interactions.n_masks,
        n_players=min(
            config.interactions.max_players, config.candidates.most_per_layer * len(facts.saes)
        ),
    )


def _loading(config: AuditConfig, facts: SubjectFacts) -> float:
    from sae_audit.subject.saes.suite import matrix_bytes

    saes = sum(matrix_bytes(sae, config.sae_dtype) for sae in facts.saes.values())
    # Weights are read once for the model and once for their hash.
    return 2 * (facts.weight_bytes + saes) / _READ_RATE
