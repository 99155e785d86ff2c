"""The base weights that an adapter or an SAE was made for, as its own file names them.

An adapter names them in the metadata of its safetensors file, an SAE under `metadata` in its config.
Both come from strangers, and what they say is only compared: a hash can have a file refused, and lets
none through that would be refused without it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

SHA256_KEY = "base_weights_sha256"
NAME_KEY = "base_name"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_SHOWN = 12
"""Digits of a hash that a message gives."""


@dataclass(frozen=True, kw_only=True)
class NamedBase:
    """Base weights by their hash, as `sha256_of_files` gives it, and perhaps their name."""

    sha256: str
    name: str


def named_base(metadata: Mapping[str, Any], what: str) -> NamedBase | None:
    """The base that a file's metadata names; None if it names none. `what` names the file.

    Raises:
        AuditError: The hash is none, or the name beside it is no text.
    """
    sha256, name = metadata.get(SHA256_KEY), metadata.get(NAME_KEY)
    if sha256 is None:
        return None
    if not isinstance(sha256, str) or _SHA256.fullmatch(sha256) is None:
        raise AuditError(
            f"{what} says {SHA256_KEY} is {shown(repr(sha256), 80)}, which is no SHA-256 (64 "
            "hexadecimal digits); correct it, or remove it to load the file with any base."
        )
    if name is not None and not isinstance(name, str):
        raise AuditError(
            f"{what} says {NAME_KEY} is {shown(repr(name), 80)}; it has to be the name of a model."
        )
    return NamedBase(sha256=sha256.lower(), name=shown(name or "", 100))


def check_base(named: NamedBase, own: str, *, what: str, model: str, accepted: bool) -> bool:
    """Whether the named base is the model's own weights, whose hash is `own`.

    Raises:
        AuditError: It is another, and another is not `accepted`.
    """
    if named.sha256 == own:
        return True
    if accepted:
        return False
    given = f" ({named.name})" if named.name else ""
    raise AuditError(
        f"{what} was made for the weights {named.sha256[:_SHOWN]}..., and those of {model} are "
        f"{own[:_SHOWN]}...; give the base that it was made for{given}, or accept another with "
        "--set accept_other_base=true."
    )
