"""Types and shapes of the tensors in a safetensors file, from its header, local or on the hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from sae_audit.errors import AuditError
from sae_audit.hub.refusals import first_line, is_connection_failure, is_refused, refusal
from sae_audit.hub.repositories import Listing
from sae_audit.hub.sessions import SILENCE_SECONDS, bounded_session
from sae_audit.untrusted import parsed_json, shown

HEADER_BYTES = 100_000_000
"""Bytes, the limit of a header in the format's own library."""
_POINTER = b"version https://git-lfs"
_FIRST_BYTES = 1 << 16
_DIMENSIONS = 16
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16,
    "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TensorHeader:
    """Header entry of one tensor."""

    kind: str
    """Type in the format's words (`BF16`)."""
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FileHeader:
    """Header of a safetensors file."""

    tensors: dict[str, TensorHeader]
    metadata: dict[str, str]
    """Texts by key, as whoever wrote the file gave them."""


def check_pointer(file: Path) -> None:
    """Refuse a Git LFS pointer in place of the file.

    Raises:
        AuditError: The file is a pointer, or cannot be read.
    """
    try:
        with file.open("rb") as stream:
            begins = stream.read(len(_POINTER))
    except OSError as error:
        raise AuditError(f"{shown(file)} cannot be read: {error.strerror}.") from error
    if begins == _POINTER:
        raise AuditError(
            f"{shown(file)} is a pointer of Git LFS, not the file; fetch it with git lfs pull, or "
            "hf download."
        )


def tensor_shapes(file: Path) -> dict[str, list[int]]:
    """Shapes in a safetensors file, from its header alone.

    Raises:
        AuditError: The file is not safetensors, or ends before its header says.
    """
    what = shown(file)
    try:
        check_pointer(file)
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = _header_length(stream.read(8), size, what)
            header = stream.read(length)
    except OSError as error:
        raise AuditError(f"{what} cannot be read: {error.strerror}.") from error
    found = _parsed(header, size - 8 - length, what).tensors
    return {name: list(one.shape) for name, one in found.items()}


def remote_tensor_shapes(held: Listing, path: str) -> dict[str, list[int]]:
    """Shapes in a safetensors file on the hub, from its header alone.

    Raises:
        AuditError: As `remote_tensors`.
    """
    return {name: list(one.shape) for name, one in remote_tensors(held, path).items()}


def remote_tensors(held: Listing, path: str) -> dict[str, TensorHeader]:
    """Types and shapes in a safetensors file on the hub, by name.

    Raises:
        AuditError: As `remote_header`.
    """
    return remote_header(held, path).tensors


def remote_header(held: Listing, path: str) -> FileHeader:
    """The header of a safetensors file on the hub; only the header is downloaded.

    Raises:
        AuditError: Access is denied, the file is not safetensors, or the hub is unreachable.
    """
    what, size = f"{path} of {held.repository}", held.sizes[path]
    first = _bytes(held, path, 0, min(size, _FIRST_BYTES))
    length = _header_length(first[:8], size, what)
    rest = first[8 : 8 + length]
    if len(rest) < length:
        rest += _bytes(held, path, 8 + len(rest), 8 + length)
    return _parsed(rest, size - 8 - length, what)


def _bytes(held: Listing, path: str, start: int, end: int) -> bytes:
    """Bytes `start` to `end` of a file on the hub; further ones are not read."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    repository = held.repository
    url = hf_hub_url(repository.name, path, repo_type=repository.kind, revision=held.commit)
    headers = {**build_hf_headers(), "Range": f"bytes={start}-{end - 1}"}
    try:
        with bounded_session().stream(
            "GET", url, headers=headers, timeout=SILENCE_SECONDS
        ) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            # A server without range requests sends the file from its beginning.
            skipped = start if response.status_code != 206 else 0
            found = _taken(response, skipped + end - start)[skipped:]
    except HfHubHTTPError as error:
        if not is_refused(error):
            raise _unreached(held, path, error) from error
        raise refusal(repository, error) from error
    except Exception as error:
        if is_connection_failure(error):
            raise _unreached(held, path, error) from error
        raise
    if len(found) < end - start:
        raise AuditError(
            f"The hub sends {len(found)} bytes of {path} in {repository} where {end - start} were "
            "asked for; ask again, or fetch the file (sae-audit fetch)."
        )
    return found


def _taken(response: Any, n_bytes: int) -> bytes:
    found = bytearray()
    for chunk in response.iter_bytes():
        found += chunk
        if len(found) >= n_bytes:
            break
    return bytes(found[:n_bytes])


def _unreached(held: Listing, path: str, error: Exception) -> AuditError:
    return AuditError(
        f"The hub cannot be reached ({first_line(error)}), and {path} of {held.repository} is not "
        "in the cache; connect, or give a local folder."
    )


def _header_length(first: bytes, size: int, what: str) -> int:
    length = int.from_bytes(first, "little")
    if len(first) < 8 or not 0 < length <= min(HEADER_BYTES, size - 8):
        raise AuditError(
            f"{what} is no safetensors file: it has {size} bytes, and its first eight say that a "
            f"header of {length} follows; download it again."
        )
    return length


def _parsed(header: bytes, n_data: int, what: str) -> FileHeader:
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{what} is no safetensors file: its header is no text; download it again."
        ) from error
    found = parsed_json(text, f"The header of {what}")
    if not isinstance(found, dict):
        raise AuditError(f"{what} is no safetensors file: its header names no tensors.")
    tensors: dict[str, TensorHeader] = {}
    for name, entry in found.items():
        if name == "__metadata__":
            continue
        if not _is_tensor(entry, n_data):
            raise AuditError(
                f"{what} is no safetensors file: its header says of {shown(name, 80)!r} what does "
                "not fit into the file; download it again."
            )
        tensors[name] = TensorHeader(kind=str(entry["dtype"]), shape=tuple(entry["shape"]))
    return FileHeader(tensors=tensors, metadata=_metadata(found.get("__metadata__"), what))


def _metadata(said: Any, what: str) -> dict[str, str]:
    # The format's own library refuses other values too.
    said = {} if said is None else said
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise AuditError(
            f"{what} is no safetensors file: its metadata are not texts by key; download it again."
        )
    return said


def _is_tensor(entry: Any, n_data: int) -> bool:
    """Whether a header's entry has a type, a shape, and a data range of matching length."""
    if not isinstance(entry, dict):
        return False
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        return False
    start, end = offsets
    n_bits = _BITS.get(kind) if isinstance(kind, str) else None
    n_values = 1
    for size in shape:
        n_values *= size
        if n_values > n_data * 8:
            return n_values == 0
    fits = start <= end <= n_data
    # A type that is missing from this list is left to the format's own library.
    return fits and (n_bits is None or (end - start) * 8 == n_values * n_bits)


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return (
        isinstance(values, list)
        and len(values) <= _DIMENSIONS
        and all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values)
    )
