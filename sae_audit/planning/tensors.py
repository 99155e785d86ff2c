"""Names and shapes of a checkpoint's tensors, from local files or the hub's headers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sae_audit.errors import AuditError, InterruptedDownloadError
from sae_audit.hub import fetch, missing_bytes, remote_tensors, weight_files
from sae_audit.hub.tensors import TensorHeader
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.checkpoint.headers import INDEX, dtype_in, files_to_read, kinds_of, shapes_of


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """Tensors of the weight files."""

    shapes: Mapping[str, Sequence[int]]
    dtype: str | None
    """torch's name of the first one's dtype; None if only shapes were requested."""


def tensors_of(model: Checkpoint) -> Tensors | str:
    """The tensors, without downloading weights; or why the hub does not give them.

    Raises:
        AuditError: The weights are missing, incomplete, or of a type that needs a scale.
    """
    held = model.place.held
    if held is None:
        return Tensors(shapes=model.shapes, dtype=dtype_in(model.weights))
    names = weight_files(held)
    try:
        index = fetch(held, [INDEX]) / INDEX if INDEX in held.sizes else None
    except InterruptedDownloadError as error:
        return f"{error} Whether the weights are whole is not known yet."
    read = files_to_read(names, index, str(model.place))
    if missing_bytes(held, read) == 0:
        files = [fetch(held, read) / name for name in read]
        model.check_kinds(kinds_of(files))
        return Tensors(shapes=shapes_of(files), dtype=dtype_in(files))
    found: dict[str, TensorHeader] = {}
    try:
        for name in read:
            found |= remote_tensors(held, name)
    except (AuditError, InterruptedDownloadError) as error:
        return f"{error} Whether the weights are whole is not known yet."
    model.check_kinds({name: one.kind for name, one in found.items()})
    return Tensors(shapes={name: one.shape for name, one in found.items()}, dtype=None)
