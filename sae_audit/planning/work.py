"""Work of an audit by stage, in units that can be timed one by one."""

from sae_audit.config import AuditConfig
from sae_audit.findings.stages import Stage
from sae_audit.pipeline.pricing import AuditSize, Sizes, Work
from sae_audit.pipeline.stages import STAGES


def work_of(config: AuditConfig, facts: Sizes) -> dict[Stage[object], Work]:
    """The work of every stage that these settings request, in order."""
    size = AuditSize(config, facts)
    priced = {stage.STAGE: stage.price(size) for stage in STAGES}
    return {stage: work for stage, work in priced.items() if work is not None}
