"""Which devices can run an audit, and whether those that are named can."""

from collections.abc import Mapping
from typing import Any

import torch

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

_SPREADS = frozenset({"auto", "balanced", "balanced_low_0", "sequential"})
"""Ways of spreading a model that accelerate has names for."""
_ON_DISK = "disk"
_LONGEST_REASON = 160


def usable_device(asked: str) -> str:
    """The device itself, `auto` being the best there is.

    Raises:
        AuditError: it is not there, or holds no numbers.
    """
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("mps"):
        raise AuditError(
            "An audit reckons refusal scores in float64, which mps does not have; use --device cpu."
        )
    try:
        # A number that comes back: torch also has devices that only pretend (`meta`).
        torch.ones(1, device=asked).item()
    except (RuntimeError, AssertionError, ImportError, AttributeError) as error:
        raise AuditError(
            f"Device {shown(repr(asked))} cannot be used here: {_reason(error)}."
        ) from error
    return asked


def check_device_map(asked: str | Mapping[str, int | str] | None) -> None:
    """That a device_map names devices of this machine.

    Raises:
        AuditError: it does not, or is empty.
    """
    if asked is None or (isinstance(asked, str) and asked in _SPREADS):
        return
    if isinstance(asked, str):
        named: set[int | str] = {asked}
    else:
        named = set(asked.values()) - {_ON_DISK}
    if not asked:
        raise AuditError("device_map names no part of the model; leave it out.")
    for device in sorted(named, key=str):
        try:
            # accelerate means the GPU of that number.
            usable_device(f"cuda:{device}" if isinstance(device, int) else device)
        except AuditError as error:
            raise AuditError(
                f"device_map names {shown(repr(device))}: {error} Name a device of this machine by part "
                f"of the model, or one of {', '.join(sorted(_SPREADS))} for the whole."
            ) from error


def check_parts(asked: str | Mapping[str, int | str] | None, model: Any) -> None:
    """That a device_map names parts of this model; accelerate passes over others without a word.

    Raises:
        AuditError: it names another.
    """
    if asked is None or isinstance(asked, str):
        return
    parts = {name for name, _ in (*model.named_modules(), *model.named_parameters())}
    for part in asked:
        if part not in parts:
            raise AuditError(
                f"device_map names {shown(repr(part))}, and the model has no such part; it has "
                f"{', '.join(name for name, _ in model.named_children())}, and parts of these."
            )


def _reason(error: Exception) -> str:
    first = (str(error) or type(error).__name__).splitlines()[0]
    # torch goes on to explain itself, to developers of torch.
    if len(first) > _LONGEST_REASON:
        first = first.partition(". ")[0]
    return shown(first, _LONGEST_REASON).rstrip(".")
