"""A run's tensors, read from files that anybody may have made."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from sae_audit.errors import AuditError
from sae_audit.record.layout import TENSORS, tensor_file
from sae_audit.record.reading import own_file
from sae_audit.untrusted import read_bytes, shown

_BYTES = 2 << 30
"""Bytes of the largest tensor file that is read: groups of a 70B model's means take .3 GB."""
_TYPES = (np.float32, np.float64, np.int64)


def read_tensors(folder: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of one of a run's tensor files.

    Raises:
        AuditError: there is no such file, it is none of safetensors, or a number is not finite.
    """
    path = own_file(own_file(folder / TENSORS) / tensor_file(name))
    if not path.exists():
        raise AuditError(
            f"{shown(folder)} lacks {TENSORS}/{path.name}, which its audit wrote; fetch the whole "
            "folder again."
        )
    content = read_bytes(path, limit=_BYTES)
    try:
        found = load(content)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise AuditError(f"{shown(path)} is no file of tensors: {shown(error)}.") from error
    for key, array in found.items():
        if array.dtype not in _TYPES:
            raise AuditError(
                f"{shown(path)} holds {shown(key)} as {array.dtype}; a run writes float32, float64 and "
                "int64."
            )
        if not np.isfinite(array).all():
            raise AuditError(f"{shown(path)} holds a number that is not finite ({shown(key)}).")
    return found
