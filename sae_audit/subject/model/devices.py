"""Checks of the devices that an audit is asked to run on."""

from collections.abc import Mapping
from typing import Any

import torch

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

_SPREADS = frozenset({"auto", "balanced", "balanced_low_0", "sequential"})
"""Named strategies of accelerate for spreading a model over devices."""
_ON_DISK = "disk"
_LONGEST_REASON = 160


def usable_device(asked: str) -> str:
    """The device asked for; for `auto`, the best one available.

    Raises:
        AuditError: the device is missing, or cannot hold numbers.
    """
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("mps"):
        raise AuditError(
            "An audit reckons refusal scores in float64, which mps does not have; use --device cpu."
        )
    try:
        # Read a number back: torch also has devices without storage (`meta`).
        torch.ones(1, device=asked).item()
    except (RuntimeError, AssertionError, ImportError, AttributeError) as error:
        raise AuditError(
            f"Device {shown(repr(asked))} cannot be used here: {_reason(error)}."
        ) from error
    return asked


def check_device_map(asked: str | Mapping[str, int | str] | None) -> None:
    """Check that a device_map names devices of this machine.

    Raises:
        AuditError: it names another device, or is empty.
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
            # accelerate reads an integer as the index of a GPU.
            usable_device(f"cuda:{device}" if isinstance(device, int) else device)
        except AuditError as error:
            raise AuditError(
                f"device_map names {shown(repr(device))}: {error} Name a device of this machine by part "
                f"of the model, or one of {', '.join(sorted(_SPREADS))} for the whole."
            ) from error


def check_parts(asked: str | Mapping[str, int | str] | None, model: Any) -> None:
    """Check that a device_map names parts of this model; accelerate silently ignores others.

    Raises:
        AuditError: it names a part that the model lacks.
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
    # The further lines of torch's messages address developers of torch.
    if len(first) > _LONGEST_REASON:
        first = first.partition(". ")[0]
    return shown(first, _LONGEST_REASON).rstrip(".")
