"""The header of a GGUF file: its metadata and its tensors' names, types and shapes.

The file is foreign: every count and length is checked against the file's size and a bound before
anything is read, so that a false header ends in one sentence. The format is that of ggml's
docs/gguf.md, versions 2 and 3, little-endian.
"""

import re
import struct
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_MOST_ENTRIES = 1 << 16
"""Entries of a header, the limit (also for tensors); the largest published models have about 2,000."""
_MOST_ITEMS = 1 << 22
"""Items of a list, the limit; the largest vocabularies have 262,144 words."""
_LONGEST_NAME = 1 << 12
_LONGEST_TEXT = 1 << 22
_LARGEST_DIMENSION = 1 << 32
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_TEXT, _LIST = 8, 9


@dataclass(frozen=True, kw_only=True)
class Tensor:
    shape: tuple[int, ...]
    """Dimensions as in the file: the fastest first."""
    kind: int
    """ggml's number of the type (0 float32, 3 Q4_1)."""
    offset: int
    """Bytes from the start of the data section."""


@dataclass(frozen=True, kw_only=True)
class Header:
    values: dict[str, Any]
    """Texts and numbers by key; for a list, its length."""
    tensors: dict[str, Tensor]
    n_data_bytes: int
    """Bytes after the header."""

    @property
    def architecture(self) -> str:
        return self.values["general.architecture"]

    @property
    def n_parameters(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    def of_model(self, key: str) -> Any:
        """The entry of the architecture, such as `llama.block_count`; None if absent."""
        return self.values.get(f"{self.architecture}.{key}")

    def kinds(self) -> Counter[int]:
        """Number of tensors by ggml type."""
        return Counter(tensor.kind for tensor in self.tensors.values())


def read_header(path: Path) -> Header:
    """The header of the file.

    Raises:
        AuditError: The file is not GGUF, is one part of several, is truncated, or has invalid values.
    """
    part = _PART.search(path.name)
    if part is not None and int(part[2]) > 1:
        raise AuditError(
            f"{shown(path)} is one part of {int(part[2])}, and transformers reads only whole GGUF "
            "files; join them (llama-gguf-split --merge), or take a file in one part."
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            found = _Reader(stream, size, path).header()
    except OSError as error:
        raise AuditError(f"{shown(path)} cannot be read: {error.strerror or error}.") from error
    _check(found, path)
    return found


class _Reader:
    """Sequential reader of one header."""

    def __init__(self, stream: BinaryIO, size: int, path: Path) -> None:
        self._stream = stream
        self._left = size
        self._path = path

    def header(self) -> Header:
        if self._bytes(4) != b"GGUF":
            raise AuditError(f"{shown(self._path)} is no GGUF file: it does not begin with GGUF.")
        version = self._number("<I")
        if version not in (2, 3):
            raise self._broken(f"its version is {version}, and 2 and 3 are read (little-endian)")
        n_tensors, n_values = self._count(_MOST_ENTRIES), self._count(_MOST_ENTRIES)
        values: dict[str, Any] = {}
        for _ in range(n_values):
            name = self._text(_LONGEST_NAME)
            if name in values:
                raise self._broken(f"the key {shown(name)} stands there twice")
            values[name] = self._value(self._number("<I"))
        tensors: dict[str, Tensor] = {}
        for _ in range(n_tensors):
            name = self._text(_LONGEST_NAME)
            if name in tensors:
                raise self._broken(f"the tensor {shown(name)} stands there twice")
            tensors[name] = self._tensor()
        return Header(values=values, tensors=tensors, n_data_bytes=self._left)

    def _tensor(self) -> Tensor:
        n = self._number("<I")
        if not 1 <= n <= 4:
            raise self._broken(f"a tensor has {n} dimensions")
        shape = tuple(self._count(_LARGEST_DIMENSION) for _ in range(n))
        kind, offset = self._number("<I"), self._number("<Q")
        if prod(shape) < 1 or offset > self._left:
            raise self._broken("a tensor lies behind its end; it is cut off, fetch it again")
        return Tensor(shape=shape, kind=kind, offset=offset)

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text(_LONGEST_TEXT)
        if kind != _LIST:
            return self._number(self._format(kind))
        kind = self._number("<I")
        n = self._count(_MOST_ITEMS)
        if kind == _TEXT:
            for _ in range(n):
                self._skip(self._count(_LONGEST_TEXT))
        else:  # `_format` refuses a list of lists
            self._skip(n * struct.calcsize(self._format(kind)))
        return n

    def _format(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self._broken(f"it holds a value of the unknown type {kind}")
        return _SCALARS[kind]

    def _text(self, longest: int) -> str:
        try:
            return self._bytes(self._count(longest)).decode()
        except UnicodeDecodeError as error:
            raise self._broken("it holds a text that is not UTF-8") from error

    def _count(self, most: int) -> int:
        n = self._number("<Q")
        if n > most:
            raise self._broken(f"it names {n} of something of which at most {most} are read")
        return n

    def _number(self, format: str) -> Any:
        return struct.unpack(format, self._bytes(struct.calcsize(format)))[0]

    def _skip(self, n: int) -> None:
        self._take(n)
        self._stream.seek(n, 1)

    def _bytes(self, n: int) -> bytes:
        self._take(n)
        return self._stream.read(n)

    def _take(self, n: int) -> None:
        if n > self._left:
            raise self._broken("its header goes on behind its end; it is cut off, fetch it again")
        self._left -= n

    def _broken(self, why: str) -> AuditError:
        return AuditError(f"{shown(self._path)} cannot be read as a GGUF file: {why}.")


def _check(found: Header, path: Path) -> None:
    """
    Raises:
        AuditError: The header does not describe a whole model of one architecture.
    """
    named = found.values.get("general.architecture")
    if not isinstance(named, str) or not named:
        raise AuditError(
            f"{shown(path)} does not say which architecture it holds (general.architecture); take a "
            "file that a current llama.cpp wrote."
        )
    n_layers = found.of_model("block_count")
    layers = {int(m[1]) for name in found.tensors if (m := re.match(r"blk\.(\d{1,6})\.", name))}
    # By count and maximum: a set of the claimed size might exhaust the memory.
    if n_layers != len(layers) or n_layers != max(layers, default=-1) + 1:
        raise AuditError(
            f"{shown(path)} says that it has {shown(n_layers)} layers, and holds tensors of "
            f"{len(layers)}{_up_to(layers)}; it is no whole language model."
        )


def _up_to(layers: set[int]) -> str:
    return f", the last of them number {max(layers)}" if layers else ""
