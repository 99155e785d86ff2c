"""Identity of the audited model."""

from dataclasses import dataclass


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
