"""What a repository of the hub is called and holds; names that would leave it are refused."""

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
"""Bytes of one part of a path, which is what file systems allow."""
_LONGEST_PATH = 1024


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of the hub at a revision: a branch, a tag or a commit.

    Raises:
        AuditError: a name or a revision that the hub cannot have: both become paths in the cache.
    """

    name: str
    """`organisation/name`."""
    revision: str = "main"
    kind: Kind = "model"
    file: str = ""
    """The one GGUF file of it that is meant; empty if none is named."""

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
    """What a repository holds at one commit."""

    repository: Repository
    commit: str
    sizes: dict[str, int]
    """Bytes by path."""
    from_cache: bool = field(default=False)
    """The hub was not asked: these are the files that the cache has."""
    others: frozenset[str] = field(default=frozenset())
    """From the cache: paths that the hub has at this commit too, by what it said when it was asked."""

    @property
    def paths(self) -> list[str]:
        """Of all its files, as far as that is known."""
        return sorted(self.others.union(self.sizes))


def as_repository(location: str, kind: Kind = "model") -> Repository | None:
    """`organisation/name`, `organisation/name/file.gguf`, each with `@revision` where wanted; None for
    anything else, and for folders.

    Raises:
        AuditError: a revision that leaves the repository (`org/name@../../x`).
    """
    match = _LOCATION.fullmatch(location)
    if match is None or _exists(location) or match["repo"].startswith((".", "~")):
        return None
    if match["repo"].partition("/")[2].strip(".") == "":
        return None
    revision, file = match["revision"] or "main", match["file"] or ""
    return Repository(name=match["repo"], revision=revision, kind=kind, file=file)


def is_relative(path: str) -> bool:
    """Whether a path stays inside the folder it is put in, on every system, and can be shown."""
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
