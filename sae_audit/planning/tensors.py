"""Names and shapes of a checkpoint's tensors, from this machine or by asking the hub for headers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sae_audit.errors import AuditError, InterruptedDownloadError
from sae_audit.hub import fetch, missing_bytes, remote_tensors, weight_files
from sae_audit.hub.tensors import TensorHeader
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.checkpoint.headers import INDEX, dtype_in, files_to_read, kinds_of, shapes_of


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """What the weight files hold."""

    shapes: Mapping[str, Sequence[int]]
    dtype: str | None
    """torch's name of the type of the first of them; None if only shapes were asked for."""


def tensors_of(model: Checkpoint) -> Tensors | str:
    """The tensors, without a download of weights; why they are not known, if the hub does not say.

    Raises:
        AuditError: the weights are not there, or not whole, or of a type that needs a scale.
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
