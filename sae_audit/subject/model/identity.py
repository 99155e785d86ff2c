"""Which model was audited."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which checkpoint this is."""

    id: str
    revision: str
    """Commit of the hub repository; empty for a folder."""
    sha256: str
    architecture: str
    dtype: str
    device: str
    adapter_revision: str = ""
    dtype_reason: str = ""
    """Why the weights are in this type."""
    settings_sha256: str = ""
    """Of every small file of model and adapter that was read: config, tokenizer, templates."""
    quantised_from: str = ""
    """Of a checkpoint whose weights were made from quantised ones: their types (GGUF)."""
