"""Names and contents of hub repositories; names that lead out of them are refused."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown, unprintable

Kind = Literal["model", "dataset"]

COMMIT = re.compile(r"[0-9a-f]{40}")
_LOCATION = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>[\w.-]+\.gguf))?(?:@(?P<revision>[\w./-]+))?"
)
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_NAME = 255
"""Bytes of one part of a path, the limit of file systems."""
_LONGEST_PATH = 1024


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of the hub at a revision: a branch, a tag or a commit.

    Raises:
        AuditError: Name or revision is impossible on the hub: both become paths in the cache.
    """

    name: str
    """`organisation/name`."""
    revision: str = "main"
    kind: Kind = "model"
    file: str = ""
    """Its one GGUF file that is meant; empty if none is named."""

    def __post_init__(self) -> None:
        if not is_relative(self.revision) or ".." in self.revision:
            raise AuditError(
                f"{shown(self.name)} has no revision {shown(self.revision)!r}: a branch, tag or "
                "commit holds no '..' and does not begin with '/'; name one of the repository's "
                "own."
            )
        if not is_relative(self.name) or ".." in self.name:
            raise AuditError(f"{shown(self.name)!r} is no name of a repository; give ORG/NAME.")

    def __str__(self) -> str:
        return self.name if self.revision == "main" else f"{self.name}@{self.revision}"

    @property
    def page(self) -> str:
        place = "datasets/" if self.kind == "dataset" else ""
        return f"https://huggingface.co/{place}{self.name}"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files of a repository at one commit."""

    repository: Repository
    commit: str
    sizes: dict[str, int]
    """Bytes by path."""
    from_cache: bool = field(default=False)
    """True if these are only the cached files, and the hub was not asked."""
    others: frozenset[str] = field(default=frozenset())
    """Uncached paths of this commit on the hub, as stored when it was last asked."""

    @property
    def paths(self) -> list[str]:
        """Paths of all its known files."""
        return sorted(self.others.union(self.sizes))


def as_repository(location: str, kind: Kind = "model") -> Repository | None:
    """The repository of `organisation/name` or `organisation/name/file.gguf`, each with an optional
    `@revision`; None for anything else, and for folders.

    Raises:
        AuditError: The revision leads out of the repository (`org/name@../../x`).
    """
    match = _LOCATION.fullmatch(location)
    if match is None or _exists(location) or match["repo"].startswith((".", "~")):
        return None
    if match["repo"].partition("/")[2].strip(".") == "":
        return None
    revision, file = match["revision"] or "main", match["file"] or ""
    return Repository(name=match["repo"], revision=revision, kind=kind, file=file)


def is_relative(path: str) -> bool:
    """Whether a path stays inside its folder on every system, and can be shown."""
    parts = path.split("/")
    return (
        0 < len(path) <= _LONGEST_PATH
        and "\\" not in path
        and unprintable(path) is None
        and not any(character in path for character in "\n\r\t")
        and not _DRIVE.match(path)
        and all(part not in {"", ".", ".."} for part in parts)
        and all(len(part.encode("utf-8", "replace")) <= _LONGEST_NAME for part in parts)
    )


def _exists(location: str) -> bool:
    try:
        return Path(location).exists()
    except OSError:  # a name too long for a file
        return False
