"""Facts of the audit card that need a word or a comparison."""

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from pydantic import BaseModel

from sae_audit.config import AuditConfig

_SUBJECTS = {"model", "saes", "name", "prompts.sources"}
"""Settings that name the audit's subject; they have no default to differ from."""

_TOKEN_SOURCES = {
    "given": "given in the settings",
    "family": "published for this model family",
    "found": "found as the first tokens of the model's own refusals of training prompts, rarer ones by "
    "having answers begin with them; in English "
    "the family's published ones where there are any",
    "none": "none is known for this model, and none was heard in its answers to harmful training "
    "prompts",
    "openings": "usual openings of a refusal in the prompts' languages, where the model's own refusals "
    "showed no others",
}


class Deviation(NamedTuple):
    """One setting that differs from its default."""

    name: str
    value: Any
    default: Any


def deviations(config: AuditConfig) -> list[Deviation]:
    return list(_differing(config, ""))


def token_source(source: str) -> str:
    return _TOKEN_SOURCES.get(source, source)


def setting(value: Any) -> str:
    """A setting's value in words."""
    if value is None:
        return "not set"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(setting, value)) + "]"
    if isinstance(value, BaseModel):
        own = ((name, one) for name, one in value if one is not None)
        return ", ".join(f"{name} {setting(one)}" for name, one in own)
    return str(value.value) if isinstance(value, Enum) else str(value)


def _differing(settings: BaseModel, prefix: str) -> Iterator[Deviation]:
    for field_name, field in type(settings).model_fields.items():
        name, value = prefix + field_name, getattr(settings, field_name)
        if name in _SUBJECTS:
            continue
        if isinstance(value, BaseModel):
            yield from _differing(value, f"{name}.")
        elif value != field.default:
            yield Deviation(name, value, field.default)
