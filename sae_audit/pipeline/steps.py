"""The steps that an audit with given settings goes through."""

from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.config import AuditConfig
from sae_audit.findings.stages import REPORT, Step
from sae_audit.pipeline.audit import STEPS
from sae_audit.pipeline.pricing import AuditSize
from sae_audit.pipeline.stages import STAGES


@dataclass(frozen=True)
class _AnySae:
    width: int = 1


class _AnySizes:
    """Sizes of no model in particular: settings alone leave a stage out."""

    n_layers = 1
    prompt_tokens = 1.0
    template_tokens = 1
    n_lookalikes = 0
    n_categories = 2
    saes: Mapping[int, _AnySae] = {0: _AnySae()}

    def batches(self, n: float) -> float:
        return n


def steps_of(config: AuditConfig) -> tuple[Step, ...]:
    """The steps that these settings ask for and that a plan prices, in order; what is found may leave
    some of them out."""
    size = AuditSize(config, _AnySizes())
    asked = {stage.STAGE for stage in STAGES if stage.price(size) is not None}
    return tuple(step for step in STEPS if step in asked or step is REPORT)
