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
    settings_sha256: str = ""
    """Of every small file that was read with the weights: config, tokenizer, template, adapter."""
