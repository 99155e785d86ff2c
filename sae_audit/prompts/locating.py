"""Location of a source: a local file, or files of the hub."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from sae_audit import hub
from sae_audit.bundled import PREFIX, resolve
from sae_audit.errors import AuditError
from sae_audit.prompts.known import KnownSet, known_at, known_sets
from sae_audit.prompts.options import Options, split_options
from sae_audit.prompts.tables import SUFFIXES
from sae_audit.untrusted import shown

_NO_PROMPTS = {"dataset_infos.json", "dataset_info.json", "license.txt", "readme.txt"}
"""Names of files without prompts that come with many repositories."""
_LESS_LIKELY = ({".json", ".txt"}, {".yaml", ".yml", ".prompt"})
"""Endings of files that often hold no prompts; skipped if a repository has others."""
_LONGEST_NAME = 255
"""Bytes of a name in a path, the limit of nearly every file system."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}.*(?=\.)")


@dataclass(frozen=True, kw_only=True)
class Location:
    """One source by name and location; nothing is read yet."""

    name: str
    options: Options
    file: Path | None = None
    """Local file; None if `repository` is given."""
    repository: hub.Repository | None = None
    patterns: tuple[str, ...] = ()
    """Patterns for the repository's files, of which the first that matches any counts."""
    known: KnownSet | None = None

    @property
    def prefix(self) -> str:
        """Start of the ids of its prompts."""
        if self.options.name:
            return self.options.name
        if self.known is not None:
            return self.known.name
        return self.repository.name if self.repository else (self.file or Path()).stem


def located(source: str | Path) -> Location:
    """The location of a source.

    Raises:
        AuditError: The file is missing, the set must be given as a file, or options do not fit.
    """
    _check_name(str(source))
    if isinstance(source, Path) or _is_file(source):
        return _local(str(source), Path(source), Options())
    name, options = split_options(source)
    if name.startswith(PREFIX):
        return _local(source, resolve(name), options)
    title, at, revision = name.partition("@")
    known = known_sets().get(title.casefold())
    if known is not None:
        return _published(source, known, options, revision if at else "main")
    path = _expanded(name)
    bare, colon, inside = name.partition(":")
    repository = hub.as_repository(bare, kind="dataset")
    # `data/prompts.jsonl` also has the form of a repository's name.
    is_missing_file = not colon and path.suffix.lower() in SUFFIXES
    if path.exists() or repository is None or is_missing_file:
        return _local(source, path, options)
    if colon:
        return Location(name=source, options=options, repository=repository, patterns=(inside,))
    sets = known_at(repository.name)
    if len(sets) > 1:
        names = " or ".join(known.name for known in sets)
        raise AuditError(
            f"{shown(source)} holds several sets; say {names}, or one of its files ({bare}:FILE)."
        )
    if sets:
        return _published(source, sets[0], options, repository.revision)
    return Location(name=source, options=options, repository=repository)


def remote_files(location: Location, held: hub.Listing) -> list[str]:
    """The repository's files that a source means.

    Raises:
        AuditError: There is none, or there are several and the source names none of them.
    """
    readable = sorted(
        path
        for path in held.paths
        if Path(path).suffix.lower() in SUFFIXES and Path(path).name.lower() not in _NO_PROMPTS
    )
    for pattern in location.patterns:
        matching = [path for path in readable if fnmatch(path, pattern)]
        if matching:
            return matching
    candidates = _likeliest(readable)
    there = _some(candidates)
    if location.patterns:
        raise AuditError(
            f"{held.repository} has no file {' or '.join(location.patterns)} at commit "
            f"{held.commit[:12]}; of the kinds read it has {there}."
        )
    if not candidates:
        raise AuditError(
            f"{held.repository} has no file of prompts; the kinds read are {', '.join(SUFFIXES)}."
        )
    if len({_SHARD.sub("", path) for path in candidates}) > 1:
        raise AuditError(
            f"{held.repository} has several files ({there}); say which: "
            f"{held.repository}:{candidates[0]}, or with * for several."
        )
    return candidates


def _published(source: str, known: KnownSet, options: Options, revision: str) -> Location:
    if not known.hub:
        raise AuditError(
            f"{shown(source)} has no confirmed home on the hub, so its files have to be given. "
            f"{known.note}"
        )
    return Location(
        name=source,
        options=options,
        repository=hub.Repository(name=known.hub, revision=revision, kind="dataset"),
        patterns=known.files,
        known=known,
    )


def _local(source: str, file: Path, options: Options) -> Location:
    if not file.is_file():
        if file.is_dir():
            raise AuditError(f"{shown(source)} is a folder; name one file of it.")
        if file.exists():
            raise AuditError(
                f"{shown(source)} is a pipe or a device; copy what it gives into a regular file."
            )
        raise AuditError(
            f"No prompt file {shown(source)}; give a file with id, text and label "
            f"({', '.join(SUFFIXES)}), a published set ({', '.join(known_sets())}), or a data set of "
            "the hub (org/name)."
        )
    return Location(name=source, options=options, file=file)


def _is_file(source: str) -> bool:
    """Whether the whole source, including any `?`, is a file's name; long options raise OSError."""
    try:
        return Path(source).is_file()
    except OSError:
        return False


def _check_name(source: str) -> None:
    """Check that the source's name is valid on this system.

    Raises:
        AuditError: It has a character that no file's name can have, or is too long.
    """
    name = source.partition("?")[0]
    try:
        parts = [os.fsencode(part) for part in name.split("/")]
    except UnicodeEncodeError as error:
        raise AuditError(
            f"No prompt file {shown(source)}; the name holds half a character."
        ) from error
    longest = max(len(part) for part in parts)
    if "\0" in name or longest > _LONGEST_NAME or sum(map(len, parts)) + len(parts) > 4000:
        raise AuditError(
            f"No prompt file {shown(source)}; a name has at most {_LONGEST_NAME} bytes, a path 4000, "
            "and neither holds a NUL."
        )


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise AuditError(
            f"No prompt file {shown(name)}; there is no such user, whose folder ~ stands for."
        ) from error


def _likeliest(paths: Sequence[str]) -> list[str]:
    """The repository's readable files of the kinds that most likely hold prompts."""
    suffixes = {path: Path(path).suffix.lower() for path in paths}
    tables = [path for path in paths if not any(suffixes[path] in kinds for kinds in _LESS_LIKELY)]
    plain = [path for path in paths if suffixes[path] in _LESS_LIKELY[0]]
    return tables or plain or list(paths)


def _some(paths: Sequence[str], n: int = 6) -> str:
    more = f" and {len(paths) - n} more" if len(paths) > n else ""
    return (", ".join(shown(path) for path in paths[:n]) or "none") + more
