"""Files of the Hugging Face hub, pinned to a commit, from the cache if present.

The one entrance for models, SAEs and prompts, so that a gated repository, a missing revision or a
broken connection is reported in the same words everywhere. Tokens, cache and endpoint are the hub
library's own (`HF_TOKEN`, `HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`).

A hub or its mirror is untrusted: its answers are bounded in bytes and seconds (`sessions`), and names,
commits and sizes are checked before use (`repositories`, `listings`).
"""

from sae_audit.errors import AuditError
from sae_audit.hub.downloads import (
    fetch,
    free_disk_bytes,
    gguf_names,
    gguf_of,
    gigabytes,
    missing_bytes,
    weight_files,
)
from sae_audit.hub.listings import cache_folder, listing
from sae_audit.hub.repositories import Kind, Listing, Repository, as_repository
from sae_audit.hub.sessions import bounded_session
from sae_audit.hub.setup import check_environment, check_setup, known_token
from sae_audit.hub.tensors import (
    check_pointer,
    remote_header,
    remote_tensor_shapes,
    remote_tensors,
    tensor_shapes,
)

__all__ = [
    "AuditError",  # what all of these raise
    "Kind",
    "Listing",
    "Repository",
    "as_repository",
    "bounded_session",
    "cache_folder",
    "check_environment",
    "check_pointer",
    "check_setup",
    "fetch",
    "free_disk_bytes",
    "gguf_names",
    "gguf_of",
    "gigabytes",
    "known_token",
    "listing",
    "missing_bytes",
    "remote_header",
    "remote_tensor_shapes",
    "remote_tensors",
    "tensor_shapes",
    "weight_files",
]
