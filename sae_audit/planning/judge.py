"""A judge model without its weights: its config, and names and shapes of its tensors."""

from sae_audit.config import AuditConfig
from sae_audit.planning.tensors import tensors_of
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions


def opened_judge(config: AuditConfig, *, config_only: bool) -> Checkpoint:
    """The judge's small files, downloaded if needed; only its config with `config_only`.

    Raises:
        AuditError: There is no such model.
    """
    is_classifier = config.judge.kind == "classifier"
    return Checkpoint(
        config.judge.model or "",
        ModelOptions(),
        what="judge",
        head="AutoModelForSequenceClassification" if is_classifier else "AutoModelForCausalLM",
        config_only=config_only,
    )


def unsure_of_judge(config: AuditConfig) -> str:
    """Why it is unknown whether the judge's weights are complete; empty if they are.

    Raises:
        AuditError: They are incomplete, or there is no such model.
    """
    opened = opened_judge(config, config_only=True)
    opened.check_builds()
    found = tensors_of(opened)
    if isinstance(found, str):
        return found
    if not opened.check_headers(found.shapes):
        return "Whether the judge's weights are whole shows when they are loaded."
    return ""
