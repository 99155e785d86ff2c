"""Identity of the audited model."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MadeFor:
    """The weights that an adapter, or SAEs, were made for according to their own files."""

    layers: tuple[int, ...]
    """Layers of the SAEs; empty for the adapter."""
    sha256: str
    name: str
    """Name of these weights; empty if the file gives none."""
    is_own: bool
    """Whether they are the model's own weights, without adapter."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A checkpoint's origin, dtype and file hashes."""

    id: str
    revision: str
    """Commit of the hub repository; empty for a local folder."""
    sha256: str
    architecture: str
    dtype: str
    device: str
    adapter_revision: str = ""
    dtype_reason: str = ""
    """The reason for the choice of dtype."""
    settings_sha256: str = ""
    """SHA-256 of all small files of model and adapter that were read: config, tokenizer, templates."""
    quantised_from: str = ""
    """Types of the quantised weights (GGUF) that the checkpoint was converted from; else empty."""
    adapter_scale: float | None = None
    """Factor of the adapter's change of the layers; None without an adapter."""
    adapter_merged: bool | None = None
    """Whether the adapter was added to the weights; None without an adapter."""
    made_for: tuple[MadeFor, ...] = ()
    """Empty if neither the adapter nor an SAE names weights."""
