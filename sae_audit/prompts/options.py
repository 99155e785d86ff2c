"""The options after the `?` of a source: `prompts.txt?label=harmful&limit=100`."""

from dataclasses import dataclass, field, fields
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options for reading one source."""

    label: str = ""
    """`harmful`, `harmless` or `safe_lookalike` for a file without labels, or the column of labels."""
    text: str = ""
    """Column of the requests, in a file of unknown format."""
    category: str = ""
    """Column of the categories."""
    language: str = ""
    """Column of the languages; if there is no such column, the language of all prompts."""
    limit: int | None = None
    """Maximum number of prompts: those whose text has the lowest SHA-256, in any file order."""
    name: str = ""
    """Start of the ids, instead of the source's own name."""
    functional: str = ""
    """HarmBench: `standard` (default), `contextual`, `copyright` or `all`."""
    with_input: bool = False
    """Alpaca: also rows with an input, which is joined to the instruction."""
    style: str = ""
    """SORRY-Bench: a prompt style (default `base`), or `all`."""
    given: frozenset[str] = field(default=frozenset(), compare=False)
    """Names of the options that were given explicitly."""


_NAMES = tuple(f.name for f in fields(Options) if f.name != "given")
_FUNCTIONAL = ("standard", "contextual", "copyright", "all")


def split_options(source: str) -> tuple[str, Options]:
    """A source's name, and its options.

    Raises:
        AuditError: An option is unknown, given twice, or has an invalid value.
    """
    name, mark, written = source.partition("?")
    if not mark:
        return name, Options()
    values: dict[str, Any] = {}
    for part in written.split("&"):
        key, equals, value = part.partition("=")
        if key not in _NAMES:
            raise AuditError(
                f"{shown(source)}: there is no option {shown(key)!r}; options are {', '.join(_NAMES)}, "
                "written NAME?option=value&option=value."
            )
        if not equals or not value or key in values:
            raise AuditError(
                f"{shown(source)}: the option {key} needs one value, as in {key}=VALUE."
            )
        values[key] = _value(source, key, value)
    return name, Options(**values, given=frozenset(values))


def _value(source: str, key: str, value: str) -> str | int | bool:
    if key == "limit":
        if not value.isdecimal() or len(value) > 12 or int(value) < 1:
            raise AuditError(
                f"{shown(source)}: limit is {shown(value)!r}; it is a number of prompts, 1 or more."
            )
        return int(value)
    if key == "with_input":
        if value not in {"true", "false"}:
            raise AuditError(
                f"{shown(source)}: with_input is {shown(value)!r}; it is true or false."
            )
        return value == "true"
    if key == "functional" and value not in _FUNCTIONAL:
        raise AuditError(
            f"{shown(source)}: functional is {shown(value)!r}; it is one of {', '.join(_FUNCTIONAL)}."
        )
    return value
