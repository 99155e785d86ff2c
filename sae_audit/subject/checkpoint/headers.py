"""Headers of safetensors files, read before any tensor: names, types and shapes."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sae_audit.errors import AuditError
from sae_audit.untrusted import read_json, shown

Shapes = Mapping[str, Sequence[int]]
"""Shapes by tensor name."""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def shapes_of(files: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors in these files, by name.

    Raises:
        AuditError: A file is not a complete safetensors file.
    """
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        with opened(file) as stream:
            for name in stream.keys():  # noqa: SIM118  a reader, no dictionary
                found[name] = tuple(stream.get_slice(name).get_shape())
    return found


def kinds_of(files: Sequence[Path]) -> dict[str, str]:
    """Types of all tensors in these files, by name, in the format's words (`BF16`).

    Raises:
        AuditError: A file is not a complete safetensors file.
    """
    found: dict[str, str] = {}
    for file in files:
        with opened(file) as stream:
            for name in stream.keys():  # noqa: SIM118
                found[name] = stream.get_slice(name).get_dtype()
    return found


def check_kinds(kinds: Mapping[str, str], where: str) -> None:
    """Refuse weights stored in types that need a scale, which would be ignored.

    Raises:
        AuditError: A weight is stored as integers, or in a floating type of 8 bits or fewer.
    """
    for name, kind in kinds.items():
        if kind.startswith(_NARROW) or (name.endswith(".weight") and kind not in _FLOATS):
            raise AuditError(
                f"{where} holds {shown(name)} in the type {shown(kind)}, and its config.json has no "
                "quantization_config that says what its numbers mean; get the checkpoint again, or "
                "save it in bfloat16 or float32."
            )


def dtype_in(files: Sequence[Path]) -> str | None:
    """torch's name of the dtype of the first floating-point tensor; None if there is none."""
    for file in files:
        with opened(file) as stream:
            for name in stream.keys():  # noqa: SIM118
                kind = _FLOATS.get(stream.get_slice(name).get_dtype())
                if kind is not None:
                    return kind
    return None


_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_NARROW = ("F8", "F6", "F4")
"""Prefixes of the names of types that need a scale."""


def opened(file: Path) -> Any:
    """A context manager that reads the file's tensors as torch's.

    Raises:
        AuditError: The file is not a complete safetensors file, or is unreadable.
    """
    try:
        return safe_open(str(file), framework="pt", device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise AuditError(
            f"{shown(file)} is no whole safetensors file ({shown(_first_line(error))}); copy or "
            "download it again."
        ) from error


def metadata_of(file: Path) -> dict[str, str]:
    """Texts by key that whoever wrote a safetensors file put into its header.

    Raises:
        AuditError: The file is not a complete safetensors file.
    """
    with opened(file) as stream:
        return stream.metadata() or {}


def write_zeros(file: Path, shapes: Shapes, metadata: Mapping[str, str]) -> None:
    """Write a sparse safetensors file of zeros with these names, shapes and metadata."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(encoded).to_bytes(8, "little") + encoded)
        stream.truncate(8 + len(encoded) + end)


def files_to_read(held: Sequence[str], index: Path | None, where: str) -> list[str]:
    """Names of the safetensors files that hold a checkpoint's weights.

    As in transformers, `model.safetensors` if it exists, else the files that the index names. `index` is
    the index on this machine, if any; `where` names the checkpoint.

    Raises:
        AuditError: The index is invalid or names a missing file; or there is neither an index nor a file
            of the usual name.
    """
    shards = [] if index is None else sorted(set(_weight_map(index).values()))
    missing = [name for name in shards if name not in held]
    if missing:
        raise AuditError(
            f"{where} lacks {shown(missing[0])}, which its index names ({len(missing)} of "
            f"{len(shards)} weight files are missing); fetch it again."
        )
    if WEIGHTS in held:
        return [WEIGHTS]
    if not shards:
        raise AuditError(
            f"{where} holds {shown(held[0])}, but neither {WEIGHTS} nor {INDEX}, by which "
            "transformers finds weights; save the model with save_pretrained(...)."
        )
    return shards


def _weight_map(index: Path) -> dict[str, str]:
    found = read_json(index)
    names = found.get("weight_map") if isinstance(found, dict) else None
    if (
        not isinstance(names, dict)
        or not isinstance(found.get("metadata"), dict)
        or not names
        or not all(isinstance(name, str) and "/" not in name for name in names.values())
    ):
        raise AuditError(
            f"{shown(index)} is no index of weight files: it needs metadata, and weight_map, the file "
            "of each tensor by its name; save the model with save_pretrained(...) again."
        )
    return names


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
