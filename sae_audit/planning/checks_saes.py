"""Checks of the SAEs without their weights: one per layer, for this model, of a supported kind."""

from collections.abc import Sequence

from sae_audit.catalog import Suite, read_catalog
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.hub import as_repository
from sae_audit.planning.bases import saes_bases
from sae_audit.planning.checks import Check, attempted, failure
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.saes.files import SaeConfig, sae_config
from sae_audit.subject.saes.null_saes import null_configs, null_places
from sae_audit.subject.saes.places import SaePlace, sae_places
from sae_audit.subject.saes.suite import check_place

_MOST_LINES = 3
"""Failures reported one by one; the other layers are counted."""


def found_saes(config: AuditConfig) -> list[SaePlace] | AuditError:
    """Location of each audited layer's SAE."""
    return attempted(
        lambda: sae_places(
            config.saes,
            catalog=read_catalog(config.catalog),
            layers=config.layers,
            l0=config.sae_l0,
        )
    )


def check_saes(config: AuditConfig, places: Sequence[SaePlace], model: Checkpoint) -> list[Check]:
    """Whether each SAE fits: one line, or one per misfit; and what is noted of the bases they name."""
    of_model = f" --model {_model(config)}" if as_repository(config.model) is not None else ""
    text = model.text_config
    remedy = f"Name SAEs of this model; sae-audit catalog{of_model} lists suites."
    described: dict[int, SaeConfig] = {}
    wrong: list[Check] = []
    for place in places:
        fitting = attempted(
            lambda place=place: _fitting(place, text.num_hidden_layers, text.hidden_size)
        )
        if isinstance(fitting, AuditError):
            is_of_another = "made for another model" in str(fitting)
            wrong.append(failure("SAEs", fitting, remedy if is_of_another else None))
        else:
            described[place.layer] = fitting
    if not wrong:
        bases = attempted(lambda: saes_bases(model, places, described))
        if isinstance(bases, AuditError):
            return [failure("SAEs", bases)]
        noted = [Check(name="SAEs", status="note", found=said) for said in bases]
        return [Check(name="SAEs", status="ok", found=_described(described)), *noted]
    more = len(wrong) - _MOST_LINES
    if more > 0:
        rest = f"{more} more of {len(places)} layers do not fit either"
        return [
            *wrong[:_MOST_LINES],
            Check(name="SAEs", status="failed", found=rest, remedy=remedy),
        ]
    return wrong


def check_null_saes(config: AuditConfig, audited: Sequence[int], *, d_model: int) -> list[Check]:
    """Whether the user's own null dictionaries fit, a line each; none if none is named."""
    checks: list[Check] = []
    for asked in config.evidence.null_saes:
        fitting = attempted(
            lambda asked=asked: null_configs(
                null_places(asked, audited, catalog=read_catalog(config.catalog)), d_model=d_model
            )
        )
        if isinstance(fitting, AuditError):
            checks.append(failure("null SAEs", fitting))
        else:
            own = "the audited SAEs at other layers"
            found = f"{asked.saes}: {_described(fitting)}, by audited layer" if fitting else own
            checks.append(Check(name="null SAEs", status="ok", found=found))
    return checks


def check_suite_for(config: AuditConfig) -> list[Check]:
    """The catalog's entry of a suite: its models, training model and notes."""
    suites = attempted(lambda: read_catalog(config.catalog))
    name = config.saes.partition("@")[0]
    if isinstance(suites, AuditError):
        return []  # reported by `found_saes`
    suite = next((suite for suite in suites if suite.name == name), None)
    if suite is None:
        return []
    checks = [*_for_this_model(suite, config)]
    if suite.notes:
        checks.append(Check(name="SAEs", status="note", found=suite.notes))
    return checks


def _for_this_model(suite: Suite, config: AuditConfig) -> list[Check]:
    model = _model(config)
    if as_repository(config.model) is None:
        return []  # a folder does not say which model it holds
    if model not in suite.models:
        found = f"{suite.name} is used with {', '.join(suite.models)}, not with {model}"
        remedy = (
            f"Name SAEs of this model (sae-audit catalog --model {model} lists them), or, if the two "
            "are close kin, go on and read the explained variance in the report."
        )
        return [Check(name="SAEs", status="warning", found=found, remedy=remedy)]
    if suite.activations == "base" and model != suite.trained_on:
        found = f"trained on activations of {suite.trained_on}, a base model, and used with {model}"
        return [Check(name="SAEs", status="note", found=found)]
    return []


def _fitting(place: SaePlace, n_layers: int, d_model: int) -> SaeConfig:
    described = sae_config(place)
    check_place(place, described, n_layers=n_layers, d_model=d_model)
    return described


def _described(saes: dict[int, SaeConfig]) -> str:
    layers, widths = sorted(saes), sorted({sae.width for sae in saes.values()})
    kinds = sorted({sae.architecture for sae in saes.values()})
    whole = layers == list(range(layers[0], layers[-1] + 1)) and len(layers) > 1
    span = f"{layers[0]}-{layers[-1]}" if whole else ", ".join(map(str, layers))
    features = " or ".join(f"{width:,}" for width in widths)
    return f"layers {span} ({len(layers)}), {features} features each, {' and '.join(kinds)}"


def _model(config: AuditConfig) -> str:
    return config.model.partition("@")[0]
