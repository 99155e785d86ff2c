"""Foreign weight files: their unpacked size, checked before anything is unpacked."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from sae_audit.errors import AuditError
from sae_audit.hub import check_pointer, tensor_shapes
from sae_audit.untrusted import shown

PICKLED = (".pt", ".pth", ".bin")
_PACKED_AT_MOST = 20
"""Maximum ratio of unpacked to packed size: weights hardly compress."""
_SMALL = 64 << 20
"""Bytes that any archive may unpack to."""
_MOST_MEMBERS = 1000
_HEADER_BYTES = 10_000


def weight_shapes(file: Path) -> dict[str, list[int]]:
    """Shapes of the tensors in a weight file, by name; their values are not read.

    Raises:
        AuditError: A file is damaged, unpacks to far more than its size, or holds more than tensors.
    """
    if not file.is_file():
        raise AuditError(f"No file {shown(file)}; the SAE lacks its weights.")
    check_pointer(file)
    match file.suffix:
        case ".npz":
            return _npz_shapes(file)
        case ".safetensors":
            shapes = tensor_shapes(file)
            _check_floats(file, shapes)
            return shapes
        case _:
            return _pickled_shapes(file)


def check_pickles(names: list[str], what: str) -> None:
    """Refuse pickles if the environment lets them run code.

    Raises:
        AuditError: TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set.
    """
    pickled = [name for name in names if name.endswith(PICKLED)]
    if pickled and os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0") not in {"", "0"}:
        raise AuditError(
            f"{shown(pickled[0])} of {what} is a pickle, and TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD "
            "lets pickles run code when they are read; unset it."
        )


def _check_floats(file: Path, shapes: dict[str, list[int]]) -> None:
    from safetensors import safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            kinds = {name: opened.get_slice(name).get_dtype() for name in shapes}
    except Exception as error:  # the exceptions for a damaged file are undocumented
        raise _damaged(file, shown(error)) from error
    for name, kind in kinds.items():
        if len(shapes[name]) == 2 and kind.startswith(("I", "U", "BOOL")):
            raise _whole_numbers(file, name, kind)


def _whole_numbers(file: Path, name: str, kind: object) -> AuditError:
    return AuditError(
        f"{shown(file)} holds {shown(name, 60)!r} as whole numbers ({shown(kind, 20)}), which are no "
        "weights without the scale they were rounded by; save it in a floating-point type."
    )


def _npz_shapes(file: Path) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive, file)
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    raise _damaged(file, f"it holds {shown(member.filename, 60)!r}")
                with archive.open(member) as stream:
                    shapes[member.filename.removesuffix(".npy")] = _npy_shape(
                        stream, member.file_size, file
                    )
    except AuditError:
        raise
    except Exception as error:  # the exceptions for a damaged archive are undocumented
        raise _damaged(file, shown(error)) from error
    return shapes


def _npy_shape(stream: Any, size: int, file: Path) -> list[int]:
    from numpy.lib import format

    version = format.read_magic(stream)
    read = format.read_array_header_1_0 if version == (1, 0) else format.read_array_header_2_0
    shape, _, dtype = read(stream, max_header_size=_HEADER_BYTES)
    if dtype.hasobject or dtype.kind not in "fiu":
        raise _damaged(file, f"it holds an array of {shown(dtype, 40)}")
    if dtype.kind != "f" and len(shape) == 2:
        raise _whole_numbers(file, "a matrix", dtype)
    n_values = 1
    for length in shape:
        n_values *= length
    # Memory is allocated by the header, before the data proves shorter.
    if n_values * dtype.itemsize + stream.tell() != size:
        raise _damaged(file, f"an array of shape {shown(shape, 60)} does not fit into it")
    return list(shape)


def _pickled_shapes(file: Path) -> dict[str, list[int]]:
    from pickle import UnpicklingError

    check_pickles([file.name], shown(file.parent))
    size = file.stat().st_size
    try:
        is_archive = zipfile.is_zipfile(file)
        if is_archive:
            with zipfile.ZipFile(file) as archive:
                _check_sizes(archive, file)
        # If the file is mapped into memory, the values are not read.
        found = torch.load(file, map_location="meta", weights_only=True, mmap=is_archive)
    except UnpicklingError as error:
        raise AuditError(
            f"{shown(file)} is a pickle that holds more than tensors; it is not read, for reading "
            "it could run code."
        ) from error
    except AuditError:
        raise
    except Exception as error:  # the exceptions for a damaged file are undocumented
        raise _damaged(file, shown(error)) from error
    if not isinstance(found, dict):
        raise _damaged(file, f"it holds a {type(found).__name__}, not tensors by name")
    shapes: dict[str, list[int]] = {}
    for name, value in found.items():
        if isinstance(value, torch.Tensor):
            # A tensor may claim any shape over one value; materialised, it would fill all memory.
            if value.numel() * value.element_size() > size or value.is_sparse:
                raise _damaged(file, f"a tensor of shape {list(value.shape)} does not fit into it")
            if value.ndim == 2 and not value.is_floating_point():
                raise _whole_numbers(file, str(name), value.dtype)
            shapes[str(name)] = list(value.shape)
    return shapes


def _check_sizes(archive: zipfile.ZipFile, file: Path) -> None:
    members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    packed = file.stat().st_size
    if unpacked > max(_SMALL, _PACKED_AT_MOST * packed) or len(members) > _MOST_MEMBERS:
        raise AuditError(
            f"{shown(file)} has {packed / 1e6:.1f} MB and would unpack to {unpacked / 1e6:.0f} MB "
            f"in {len(members)} parts, which no SAE does; it is not read."
        )


def _damaged(file: Path, why: str) -> AuditError:
    first = (why.strip() or "damaged").splitlines()[0]
    return AuditError(f"{shown(file)} holds no weights of an SAE ({first}); download it again.")
