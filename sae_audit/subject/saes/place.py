"""Location of one layer's SAE."""

from dataclasses import dataclass, replace
from pathlib import Path

from sae_audit.errors import AuditError
from sae_audit.hub import Listing, fetch
from sae_audit.subject.saes.layouts import FILES, OPTIONAL, joined
from sae_audit.untrusted import shown


@dataclass(frozen=True, kw_only=True)
class SaePlace:
    """Location of one layer's SAE."""

    layer: int
    release: str
    """Release in sae_lens' registry, or the repository's name; a local folder as it was given."""
    id: str
    path: str
    """Folder or file inside the repository; for a local SAE, the folder or file itself."""
    held: Listing | None
    """The hub repository at a commit; None for a local folder."""
    format: str
    """sae_lens' name for the publisher's format."""
    by_layout: bool = False
    """True if recognised by its files alone, without a registry release or a catalog."""
    d_model: int | None = None
    """Width of the residual stream it reads, if a catalog says it."""
    width: int | None = None
    architecture: str = ""
    """Architecture, if a catalog says it."""

    @property
    def files(self) -> list[str]:
        """Required files, as paths in the repository or on this machine."""
        fixed = [joined(self.path, file) for file in FILES[self.format]] or [self.path]
        optional = [joined(self.path, file) for file in OPTIONAL.get(self.format, ())]
        return fixed + [path for path in optional if self.has(path)]

    def has(self, path: str) -> bool:
        """Whether the file `path` is there."""
        return Path(path).is_file() if self.held is None else path in self.held.sizes

    def file(self, name: str) -> Path:
        """One of its files by name, downloaded if needed.

        Raises:
            AuditError: There is no such file; the hub's refusals.
        """
        path = joined(self.path, name) if name else self.path
        if self.held is None:
            if not Path(path).is_file():
                raise AuditError(
                    f"The SAE {self} lacks {name or 'its file'}: no file {shown(path)}."
                )
            return Path(path)
        return fetch(self.held, [path]) / path

    def at_layer(self, layer: int | None, what: str) -> "SaePlace":
        """This place with its layer set.

        Raises:
            AuditError: `layer` is None.
        """
        if layer is None:
            raise AuditError(
                f"{shown(what)} holds an SAE, but its name holds no layer; name it layer_0, "
                "layer_1, ..."
            )
        return replace(self, layer=layer)

    def __str__(self) -> str:
        where = self.held.repository if self.held is not None else Path(self.path).parent
        return f"{shown(self.id)} of {shown(where)}"
