"""Rows of a file that anybody may have made, parsed: bounded, finite, and fit to be shown."""

import math
import unicodedata
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sae_audit.errors import AuditError
from sae_audit.untrusted import parsed_json, shown, unprintable

_NAMES = {"prompt_id", "category", "scope", "split", "label"}
"""Fields that tell rows apart; a control character in them is an error."""


def parsed(payload: str, kind: Any, what: str) -> Any:
    """The object of this kind (a class, or `list[X]`) in a row's JSON; `what` names the row.

    Characters in text that are not printed are spelled out.

    Raises:
        AuditError: it is no such object; a number in it is not finite; a name has a control character.
    """
    return validated(parsed_json(payload, what), kind, what)


def validated(found: Any, kind: Any, what: str) -> Any:
    """The same for JSON that has been parsed."""
    return _of_kind(_harmless(found, "", what), kind, what)


def as_recorded(payload: str, kind: Any, what: str) -> Any:
    """The same for a run that goes on, with its text unchanged.

    Raises:
        AuditError: it is no such object.
    """
    return _of_kind(parsed_json(payload, what), kind, what)


@cache
def adapter(kind: Any) -> Any:
    """What reads and writes objects of this kind (a class, or `list[X]`); made once, it takes longer
    than a row does."""
    return TypeAdapter(kind)


def _of_kind(found: Any, kind: Any, what: str) -> Any:
    try:
        return adapter(kind).validate_python(found)
    except ValidationError as error:
        raise AuditError(f"{what} does not hold what it should: {first_fault(error)}.") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise AuditError(f"{what} does not hold what it should: {shown(error)}.") from error


def first_fault(error: ValidationError) -> str:
    """Place and kind of the first fault."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(shown(part, 40) for part in first["loc"])
    return f"{where}: {shown(first['msg'])}" if where else shown(first["msg"])


def _harmless(found: Any, field: str, what: str) -> Any:
    # At most as deep as `parsed_json` allows.
    if isinstance(found, dict):
        return {_printed(key, what): _harmless(one, key, what) for key, one in found.items()}
    if isinstance(found, list):
        return [_harmless(one, field, what) for one in found]
    if isinstance(found, str):
        if field in _NAMES:
            return _printed(found, what)
        is_harmless = found.isprintable() or unprintable(found) is None
        return found if is_harmless else shown(found, len(found))
    if isinstance(found, float) and not math.isfinite(found):
        raise AuditError(f"{what} holds a number that is not finite ({shown(field)}).")
    return found


def _printed(name: str, what: str) -> str:
    if name.isprintable():
        return name
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise AuditError(f"{what} holds a name with a control character: {shown(name, 60)}.")
    return shown(name, len(name))
