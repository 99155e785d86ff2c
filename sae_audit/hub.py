"""Files of the Hugging Face hub: pinned to a commit, from the cache where they are there.

One way in for models, SAEs and prompts, so that a gated repository, a missing revision or a broken
connection is told in the same words wherever it is met. Tokens, cache and endpoint are the hub
library's own (`HF_TOKEN`, `HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`).
"""

import contextlib
import errno
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from sae_audit.errors import AuditError, InterruptedDownloadError

T = TypeVar("T")
Kind = Literal["model", "dataset"]
Wanted = Callable[[str], bool]

_LOCATION = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>[\w.-]+\.gguf))?(?:@(?P<revision>[\w./-]+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SPARE_BYTES = 256 << 20
"""Left free on the disk after a download."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of the hub at a revision: a branch, a tag or a commit."""

    name: str
    """`organisation/name`."""
    revision: str = "main"
    kind: Kind = "model"
    file: str = ""
    """The one GGUF file of it that is meant; empty if none is named."""

    def __str__(self) -> str:
        return self.name if self.revision == "main" else f"{self.name}@{self.revision}"

    @property
    def page(self) -> str:
        place = "datasets/" if self.kind == "dataset" else ""
        return f"https://huggingface.co/{place}{self.name}"


def as_repository(location: str, kind: Kind = "model") -> Repository | None:
    """`organisation/name`, `organisation/name/file.gguf`, each with `@revision` where wanted; None for
    anything else, and for folders."""
    match = _LOCATION.fullmatch(location)
    if match is None or Path(location).exists() or match["repo"].startswith((".", "~")):
        return None
    revision, file = match["revision"] or "main", match["file"] or ""
    return Repository(name=match["repo"], revision=revision, kind=kind, file=file)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a repository holds at one commit."""

    repository: Repository
    commit: str
    sizes: dict[str, int]
    """Bytes by path."""
    from_cache: bool = field(default=False)
    """The hub was not asked: these are the files that the cache has."""


def listing(repository: Repository) -> Listing:
    """The commit behind a revision, and its files.

    Where the hub cannot be reached, what the cache holds of the revision.

    Raises:
        AuditError: no such repository or revision, no access, or offline with nothing cached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import HfHubHTTPError

    if not is_offline_mode():
        try:
            info: Any = HfApi().repo_info(
                repository.name,
                revision=repository.revision,
                repo_type=repository.kind,
                files_metadata=True,
            )
        except HfHubHTTPError as error:
            if error.response is None or error.response.status_code < 500:
                raise _refusal(repository, error) from error
            reason = str(error)
        except Exception as error:
            if not _is_connection_failure(error):
                raise
            reason = str(error) or type(error).__name__
        else:
            sizes = {file.rfilename: file.size or 0 for file in info.siblings}
            return Listing(repository=repository, commit=info.sha, sizes=sizes)
        cached = _cached(repository)
        if cached is None:
            raise AuditError(
                f"The hub cannot be reached ({reason.splitlines()[0]}), and {repository} is not in the "
                "cache; connect, or give a local folder."
            )
        _log.warning(
            "The hub cannot be reached; %s is taken from the cache, at commit %s.",
            repository,
            cached.commit,
        )
        return cached
    cached = _cached(repository)
    if cached is None:
        raise AuditError(
            f"{repository} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it; unset it once "
            "(sae-audit fetch downloads all that an audit needs), or give a local folder."
        )
    return cached


def fetch(held: Listing, wanted: Iterable[str]) -> Path:
    """Download these files, those in the cache excepted; the folder of that commit.

    Raises:
        AuditError: a file that the repository lacks, no access, or too little disk.
        InterruptedDownloadError: the connection broke; what came is kept, and resumed.
    """
    paths = sorted(wanted)
    for path in paths:
        if path not in held.sizes:
            where = "the cache has of it" if held.from_cache else "it has"
            raise AuditError(
                f"{held.repository} has no file {path} at commit {held.commit[:12]}; {where} "
                f"{_some(sorted(held.sizes))}."
            )
    _check_disk(held, paths)
    assert paths, f"nothing wanted of {held.repository}"
    files = [_file(held, path) for path in paths]
    if not held.from_cache:
        _note_commit(held.repository, held.commit)
    return _root(files[0], paths[0])


def missing_bytes(held: Listing, wanted: Iterable[str]) -> int:
    """What a download of these files would fetch: their size, less what the cache has."""
    return sum(held.sizes[path] for path in wanted if not _is_cached(held, path))


def weight_files(held: Listing) -> list[str]:
    """The safetensors weights in the repository's root; the one GGUF file that was named, or is there.

    Raises:
        AuditError: there are none: pickled weights can run code when they are read; or several GGUF
            files, and none was named.
    """
    if held.repository.file:
        return [held.repository.file]
    found = [p for p in held.sizes if "/" not in p and p.endswith(".safetensors")]
    # A repository may hold the same weights once more for another loader (Mistral's consolidated).
    found = [p for p in found if not p.startswith("consolidated")]
    quantised = gguf_names(held.sizes)
    if len(quantised) > 1:
        raise AuditError(
            f"{held.repository} holds {len(quantised)} GGUF files ({_some(quantised)}); name one of "
            f"them, as {held.repository.name}/{quantised[0]}."
        )
    found = found or quantised
    if not found and held.from_cache:
        raise AuditError(
            f"The cache has no weights of {held.repository} at commit {held.commit[:12]}; fetch them "
            "with a network (sae-audit fetch)."
        )
    if not found:
        raise AuditError(
            f"{held.repository} holds no .safetensors weights; pickled ones can run code when they "
            "are read. Name a revision that has them (refs/pr/N by the hub's converter), or convert."
        )
    return sorted(found)


def gguf_names(names: Iterable[str]) -> list[str]:
    """The GGUF files among a folder's or a repository's root; none if it has safetensors weights."""
    root = [name for name in names if "/" not in name]
    if any(name.endswith(".safetensors") for name in root):
        return []
    return sorted(name for name in root if name.lower().endswith(".gguf"))


def gguf_of(held: Listing) -> list[str]:
    """The one GGUF file that a repository is named for, or that is its weights; none of others.

    Raises:
        AuditError: there are several, and none was named.
    """
    named = bool(held.repository.file)
    return weight_files(held) if named or gguf_names(held.sizes) else []


def tensor_shapes(file: Path) -> dict[str, list[int]]:
    """Shapes in a safetensors file, from its header alone."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def remote_tensor_shapes(held: Listing, path: str) -> dict[str, list[int]]:
    """The same of a file on the hub, by asking for its header alone.

    Raises:
        AuditError: no access, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    repository = held.repository
    try:
        found = HfApi().parse_safetensors_file_metadata(
            repository.name, path, revision=held.commit, repo_type=repository.kind
        )
    except HfHubHTTPError as error:
        raise _refusal(repository, error) from error
    except Exception as error:
        if _is_connection_failure(error):
            raise AuditError(
                f"The hub cannot be reached, and {path} of {repository} is not in the cache."
            ) from error
        raise
    return {name: list(entry.shape) for name, entry in found.tensors.items()}


def cache_folder() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def free_disk_bytes() -> int:
    """Room on the disk of the cache."""
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _file(held: Listing, path: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
    )

    repository = held.repository
    try:
        found = hf_hub_download(
            repository.name,
            path,
            # The commit, not the branch: a push in between must not mix two versions.
            revision=held.commit,
            repo_type=repository.kind,
            local_files_only=held.from_cache,
        )
    except LocalEntryNotFoundError as error:
        # The library's name for "not cached, and the hub did not give it", whatever the reason.
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError) and _is_refused(cause):
            raise _refusal(repository, cause) from error
        raise _interrupted(repository, path, error) from error
    except EntryNotFoundError as error:
        raise AuditError(f"{repository} has no file {path}.") from error
    except HfHubHTTPError as error:
        if _is_refused(error):
            raise _refusal(repository, error) from error
        raise _interrupted(repository, path, error) from error
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EPERM):
            raise AuditError(
                f"{cache_folder()} cannot be written ({error.strerror}); make room there, or set "
                "HF_HOME to a folder of your own."
            ) from error
        if _is_broken_off(error):
            raise _interrupted(repository, path, error) from error
        raise
    except Exception as error:
        if _is_broken_off(error):
            raise _interrupted(repository, path, error) from error
        raise
    return Path(found)


def _root(file: Path, path: str) -> Path:
    return file.parents[len(PurePosixPath(path).parts) - 1]


def _is_cached(held: Listing, path: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        held.repository.name, path, revision=held.commit, repo_type=held.repository.kind
    )
    return isinstance(found, str)


def _home(repository: Repository) -> Path:
    from huggingface_hub.file_download import repo_folder_name

    name = repo_folder_name(repo_id=repository.name, repo_type=repository.kind)
    return cache_folder() / name


def _note_commit(repository: Repository, commit: str) -> None:
    """Note in the cache which commit a branch means, as the hub library does for downloads by branch.

    Files are downloaded by commit; without the note the branch would be unknown offline.
    """
    if repository.revision == commit:
        return
    reference = _home(repository) / "refs" / repository.revision
    with contextlib.suppress(OSError):  # a cache that may only be read is as good for this run
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit)


def _cached(repository: Repository) -> Listing | None:
    home = _home(repository)
    reference = home / "refs" / repository.revision
    commit = reference.read_text().strip() if reference.is_file() else repository.revision
    snapshot = home / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return None
    files = [file for file in snapshot.rglob("*") if file.is_file()]
    sizes = {file.relative_to(snapshot).as_posix(): file.stat().st_size for file in files}
    return Listing(repository=repository, commit=commit, sizes=sizes, from_cache=True)


def _check_disk(held: Listing, paths: Iterable[str]) -> None:
    needed, free = missing_bytes(held, paths), free_disk_bytes()
    if needed > 0 and needed + _SPARE_BYTES > free:
        raise AuditError(
            f"{held.repository} needs {gigabytes(needed)} more on disk, but {cache_folder()} has "
            f"{gigabytes(free)} free; make room, or set HF_HOME to a larger disk."
        )


def gigabytes(n_bytes: float) -> str:
    """A size as people read it: GB below a kilobyte's worth of digits, else MB."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _refusal(repository: Repository, error: Exception) -> AuditError:
    from huggingface_hub import get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        login = (
            "log in with `hf auth login` (or set HF_TOKEN)"
            if get_token() is None
            else "use a token of the account that accepted them (`hf auth whoami` names it)"
        )
        return AuditError(
            f"{repository} is gated: accept its terms at {repository.page}, and {login}."
        )
    if isinstance(error, RevisionNotFoundError):
        return AuditError(
            f"{repository.name} has no revision {repository.revision!r}; {repository.page}/tree/main "
            "shows its branches, tags and commits."
        )
    if isinstance(error, RepositoryNotFoundError):
        return AuditError(
            f"The hub has no {repository.kind} {repository.name}, or it is private; check the name, or "
            "log in with `hf auth login`. (A local folder must exist.)"
        )
    if getattr(getattr(error, "response", None), "status_code", None) == 403:
        return AuditError(
            f"The hub forbids to read {repository}: accept its terms at {repository.page}, and if you "
            "have, let the token read gated repositories (huggingface.co/settings/tokens)."
        )
    reason = str(error).strip().splitlines()[0]
    return AuditError(f"The hub refuses {repository}: {reason}")


def _interrupted(repository: Repository, path: str, error: Exception) -> InterruptedDownloadError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InterruptedDownloadError(
        f"The download of {path} from {repository} broke off: {reason}."
    )


def _is_refused(error: Any) -> bool:
    """The hub understood and will not; asking again later is no use."""
    return (
        error.response is not None
        and 400 <= error.response.status_code < 500
        and (error.response.status_code not in (408, 429))
    )


def _is_broken_off(error: Exception) -> bool:
    # Large files come through a library of their own, whose failures have names of their own.
    by_xet = type(error).__name__.startswith("Xet") or "CAS service" in str(error)
    return by_xet or _is_connection_failure(error) or "onsistency check failed" in str(error)


def _is_connection_failure(error: Exception) -> bool:
    # The hub library has changed its HTTP client twice; all of them name their failures alike.
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & {"ConnectionError", "TransportError", "Timeout", "TimeoutError"})


def _some(paths: list[str], n: int = 6) -> str:
    if not paths:
        return "nothing"
    return ", ".join(paths[:n]) + (f" and {len(paths) - n} more" if len(paths) > n else "")
