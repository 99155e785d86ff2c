"""Where the SAE of one layer lies."""

from dataclasses import dataclass, replace
from pathlib import Path

from sae_audit.errors import AuditError
from sae_audit.hub import Listing, fetch
from sae_audit.subject.saes.layouts import FILES, OPTIONAL, joined
from sae_audit.untrusted import shown


@dataclass(frozen=True, kw_only=True)
class SaePlace:
    """Where the SAE of one layer lies."""

    layer: int
    release: str
    """In sae_lens' registry, or the repository's name; a local folder as it was given."""
    id: str
    path: str
    """Folder or file inside the repository; the local folder or file itself."""
    held: Listing | None
    """The hub repository at a commit; None for a local folder."""
    format: str
    """sae_lens' name for the publisher's format."""
    by_layout: bool = False
    """Known by its files alone, not by a release of sae_lens' registry or a catalog."""
    d_model: int | None = None
    """Where a catalog says so: the width of the stream it reads."""
    width: int | None = None
    architecture: str = ""
    """The same."""

    @property
    def files(self) -> list[str]:
        """What has to be there, as paths in the repository, or on this machine."""
        fixed = [joined(self.path, file) for file in FILES[self.format]] or [self.path]
        optional = [joined(self.path, file) for file in OPTIONAL.get(self.format, ())]
        return fixed + [path for path in optional if self.has(path)]

    def has(self, path: str) -> bool:
        """Whether one of its files is there."""
        return Path(path).is_file() if self.held is None else path in self.held.sizes

    def file(self, name: str) -> Path:
        """One of its files by name, downloaded where need be.

        Raises:
            AuditError: there is no such file; the hub's refusals.
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
        """The same for a layer that was found out.

        Raises:
            AuditError: none was.
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
