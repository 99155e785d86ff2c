"""Whether this machine can run an audit: every possible check, without large downloads.

machine -> hub -> each repository -> model, SAEs and prompts without weights -> memory and disk
"""

from collections.abc import Sequence
from dataclasses import replace

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.planning.checks import Check, unknown, without_home
from sae_audit.planning.checks_fit import (
    check_categories,
    check_judge,
    check_memory,
    check_prompts,
)
from sae_audit.planning.checks_hub import Access, Need, check_access, check_hub, needs_of
from sae_audit.planning.checks_machine import (
    check_device,
    check_disk,
    check_interactions,
    check_map,
    check_output,
    check_packages,
    check_quantization,
)
from sae_audit.planning.checks_model import (
    check_adapter,
    check_model,
    check_weights,
    check_words,
    opened_model,
    readout_name,
)
from sae_audit.planning.checks_saes import (
    check_null_saes,
    check_saes,
    check_suite_for,
    found_saes,
)
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.saes.places import SaePlace


def examine(config: AuditConfig | None) -> list[Check]:
    """The machine's checks, and those of an audit if one is given; downloads configs and tokenizers."""
    checks = _machine(config)
    if config is None:
        checks += [*check_hub(is_needed=True), *check_disk(0, complete=True)]
    else:
        checks += _audit(config)
    return [
        replace(check, found=without_home(check.found), remedy=without_home(check.remedy))
        for check in checks
    ]


def to_do(checks: Sequence[Check]) -> list[str]:
    """Remedies for failures, then for warnings, in the order of the checks; each once."""
    ordered = [check.advice for check in checks if check.status == "failed"]
    ordered += [check.advice for check in checks if check.status == "warning"]
    return list(dict.fromkeys(ordered))


def _machine(config: AuditConfig | None) -> list[Check]:
    checks = [*check_packages(), *check_interactions(config)]
    if config is not None:
        checks += check_quantization(config)
    checks += check_device("auto" if config is None else config.device)
    if config is not None:
        checks += check_map(config)
    return [*checks, *check_output(config)]


def _audit(config: AuditConfig) -> list[Check]:
    places = found_saes(config)
    needs = needs_of(config, places)
    access = check_access(needs)
    checks = [*check_hub(is_needed=bool(access.blocked or access.missing)), *access.checks]
    model = None if "model" in access.blocked else opened_model(config)
    checks += _model(config, model, access)
    checks += _saes(config, model, places, access)
    checks += _prompts(config, needs, access)
    checks += [] if "judge" in access.blocked else check_judge(config)
    checks += check_memory(config, model)
    return [*checks, *check_disk(access.missing, complete=access.all_sized)]


def _model(
    config: AuditConfig, model: Checkpoint | AuditError | None, access: Access
) -> list[Check]:
    names = ("chat template", readout_name(config))
    if model is None:
        return [unknown(name, "it needs the model's files") for name in ("model", *names)]
    if isinstance(model, AuditError):
        return [*check_model(model), *(unknown(name, "it needs the model") for name in names)]
    return [
        *check_model(model),
        *check_weights(model),
        *([] if "adapter" in access.blocked else check_adapter(config)),
        *check_words(config, model),
    ]


def _saes(
    config: AuditConfig,
    model: Checkpoint | AuditError | None,
    places: list[SaePlace] | AuditError,
    access: Access,
) -> list[Check]:
    known = check_suite_for(config)
    if isinstance(places, AuditError) or "SAEs" in access.blocked:
        return [unknown("SAEs", "it needs the SAEs' files"), *known]
    if not isinstance(model, Checkpoint):
        return [unknown("SAEs", "it needs the model's config, which they have to fit"), *known]
    fit = check_saes(config, places, model)
    audited, d_model = [place.layer for place in places], model.text_config.hidden_size
    return [*fit, *known, *check_null_saes(config, audited, d_model=d_model)]


def _prompts(config: AuditConfig, needs: Sequence[Need], access: Access) -> list[Check]:
    if "prompts" in access.blocked:
        return [unknown("prompts", "it needs all prompt files")]
    downloads = [
        download
        for need in needs
        if need.purpose == "prompts" and not isinstance(need.downloads, AuditError)
        for download in need.downloads
    ]
    if any(download.missing_bytes for download in downloads):
        reason = (
            "not all are downloaded yet; sae-audit fetch gets them, and whether they are enough "
        )
        return [unknown("prompts", f"{reason}is seen then")]
    return [*check_prompts(config), *check_categories(config)]
