"""Download of a commit's files into the cache; cached files are not fetched again."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sae_audit.errors import AuditError, AuditIncompleteError
from sae_audit.hub.listings import NOTES, cache_folder, home
from sae_audit.hub.refusals import interrupted, is_broken_off, is_refused, refusal, unusable
from sae_audit.hub.repositories import Listing, Repository
from sae_audit.hub.sessions import Watch, bounded_session, watching
from sae_audit.untrusted import shown

_SPARE_BYTES = 256 << 20
"""Bytes left free on the disk after a download."""
_DISK = {errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EPERM, errno.EDQUOT}


def fetch(held: Listing, wanted: Iterable[str]) -> Path:
    """The folder of the commit, with these files in it, downloaded unless cached.

    Raises:
        AuditError: The repository lacks a file, access is denied, or the disk is too small.
        InterruptedDownloadError: The connection broke; a repeated call resumes.
    """
    paths = sorted(wanted)
    for path in paths:
        if path in held.others:
            raise AuditError(
                f"The cache has no {shown(path)} of {held.repository} at commit {held.commit[:12]}; "
                "fetch it with a network (sae-audit fetch)."
            )
        if path not in held.sizes:
            where = "the cache has of it" if held.from_cache else "it has"
            raise AuditError(
                f"{held.repository} has no file {shown(path)} at commit {held.commit[:12]}; "
                f"{where} {_some(sorted(held.sizes))}."
            )
    _check_disk(held, paths)
    assert paths, f"nothing wanted of {held.repository}"
    if not held.from_cache:
        _note_paths(held)
    files = [_file(held, path) for path in paths]
    if not held.from_cache:
        _note_commit(held)
    return _root(files[0], paths[0])


def missing_bytes(held: Listing, wanted: Iterable[str]) -> int:
    """Bytes that a download of these files would fetch: their size, less what the cache has."""
    return sum(held.sizes.get(path, 0) for path in wanted if not _is_cached(held, path))


def weight_files(held: Listing) -> list[str]:
    """The safetensors weights in the repository's root, or its one GGUF file.

    Raises:
        AuditError: There are no such weights (pickled ones can run code when read), or several GGUF
            files of which none was named.
    """
    if held.repository.file:
        return [held.repository.file]
    found = [p for p in held.sizes if "/" not in p and p.endswith(".safetensors")]
    # A repository may hold the same weights again for another loader (Mistral's consolidated).
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
            f"The cache has no weights of {held.repository} at commit {held.commit[:12]}; fetch "
            "them with a network (sae-audit fetch)."
        )
    if not found:
        raise AuditError(
            f"{held.repository} holds no .safetensors weights; pickled ones can run code when "
            "they are read. Name a revision that has them (refs/pr/N by the hub's converter), or "
            "convert."
        )
    return sorted(found)


def gguf_names(names: Iterable[str]) -> list[str]:
    """The GGUF files in the root of a folder or repository; empty if it has safetensors weights."""
    root = [name for name in names if "/" not in name]
    if any(name.endswith(".safetensors") for name in root):
        return []
    return sorted(name for name in root if name.lower().endswith(".gguf"))


def gguf_of(held: Listing) -> list[str]:
    """The one GGUF file that a repository's name gives, or that is its weights; empty if none.

    Raises:
        AuditError: There are several, and none was named.
    """
    named = bool(held.repository.file)
    return weight_files(held) if named or gguf_names(held.sizes) else []


def free_disk_bytes() -> int:
    """Free bytes on the disk of the cache."""
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
    size = held.sizes[path] or free_disk_bytes()  # if the hub gives no size, the disk is the bound
    watch = Watch(path, commit=held.commit, n_bytes=size)
    bounded_session()
    try:
        with watching(watch):
            found = hf_hub_download(
                repository.name,
                path,
                # The commit, not the branch: a push during the download must not mix two versions.
                revision=held.commit,
                repo_type=repository.kind,
                local_files_only=held.from_cache,
            )
    except (AuditError, AuditIncompleteError):
        raise
    except LocalEntryNotFoundError as error:
        # The library's exception for "not cached, and not received from the hub", for any reason.
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError) and is_refused(cause):
            raise refusal(repository, cause) from error
        raise interrupted(repository, path, error) from error
    except EntryNotFoundError as error:
        raise AuditError(f"{repository} has no file {path}.") from error
    except HfHubHTTPError as error:
        if is_refused(error):
            raise refusal(repository, error) from error
        raise interrupted(repository, path, error) from error
    except Exception as error:
        raise _failure(repository, path, error) from error
    return Path(found)


def _failure(repository: Repository, path: str, error: Exception) -> Exception:
    """The exception that explains a failure of the library: disk, connection or answer."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return AuditError(
            f"{cache_folder()} cannot be written ({error.strerror}); make room there, or set "
            "HF_HOME to a folder of your own."
        )
    if is_broken_off(error):
        return interrupted(repository, path, error)
    return unusable(repository, path, error)


def _root(file: Path, path: str) -> Path:
    return file.parents[len(PurePosixPath(path).parts) - 1]


def _is_cached(held: Listing, path: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        held.repository.name, path, revision=held.commit, repo_type=held.repository.kind
    )
    return isinstance(found, str)


def _note_paths(held: Listing) -> None:
    """Store in the cache which files a commit has. Without it, an offline run would take one cached SAE
    of several for the only one, and a model with a broken download for a complete one."""
    place = home(held.repository)
    _write(place / NOTES / f"{held.commit}.json", json.dumps(sorted(held.sizes)), place)


def _note_commit(held: Listing) -> None:
    """Store in the cache which commit a branch means, as the hub library does for downloads by branch.

    Files are downloaded by commit, so without the note the branch would be unknown offline.
    """
    place, revision = home(held.repository), held.repository.revision
    if revision != held.commit:
        _write(place / "refs" / revision, held.commit, place)


def _write(file: Path, text: str, place: Path) -> None:
    with contextlib.suppress(OSError):  # a read-only cache serves this run as well
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.parent.resolve().is_relative_to(place.resolve()):
            return  # a link that leads out of the cache
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        beside.write_text(text)
        beside.replace(file)


def _check_disk(held: Listing, paths: Iterable[str]) -> None:
    needed, free = missing_bytes(held, paths), free_disk_bytes()
    if needed > 0 and needed + _SPARE_BYTES > free:
        raise AuditError(
            f"{held.repository} needs {gigabytes(needed)} more on disk, but {cache_folder()} has "
            f"{gigabytes(free)} free; make room, or set HF_HOME to a larger disk."
        )


def gigabytes(n_bytes: float) -> str:
    """A size for people: in GB, or in MB if small."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _some(paths: list[str], n: int = 6) -> str:
    if not paths:
        return "nothing"
    return ", ".join(shown(path, 80) for path in paths[:n]) + (
        f" and {len(paths) - n} more" if len(paths) > n else ""
    )
