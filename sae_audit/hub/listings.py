"""The commit of a revision and its files: from the hub, checked, or from the cache."""

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sae_audit.errors import AuditError
from sae_audit.hub.refusals import first_line, is_connection_failure, is_refused, refusal
from sae_audit.hub.repositories import COMMIT, Listing, Repository, is_relative
from sae_audit.hub.sessions import SILENCE_SECONDS, bounded_session
from sae_audit.hub.setup import check_setup
from sae_audit.untrusted import parsed_json, read_json, shown

MOST_FILES = 200_000
"""Files of one repository, the limit."""
NOTES = "listings"
"""Folder name, inside a repository's in the cache, of the stored paths of commits."""
_LARGEST_FILE = 1 << 50
_REFERENCE_BYTES = 64

_log = logging.getLogger(__name__)


def listing(repository: Repository) -> Listing:
    """The commit of a revision, and its files; from the cache if the hub is unreachable.

    Raises:
        AuditError: There is no such repository or revision, access is denied, the answer is invalid, or
            the hub is offline with nothing cached.
    """
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import HfHubHTTPError

    _check_name(repository)
    if not is_offline_mode():
        check_setup()
        try:
            return _listed(repository, _answer(repository))
        except HfHubHTTPError as error:
            # Rate limiting is no refusal: the cache is used.
            if is_refused(error):
                raise refusal(repository, error) from error
            reason = first_line(error)
        except Exception as error:
            if not is_connection_failure(error):
                raise
            reason = first_line(error)
        return _unreached(repository, reason)
    cached = _cached(repository)
    if cached is None:
        raise AuditError(
            f"{repository} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it; unset it "
            "once (sae-audit fetch downloads all that an audit needs), or give a local folder."
        )
    return cached


def cache_folder() -> Path:
    """Folder of the hub library's downloads."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def home(repository: Repository) -> Path:
    """The repository's folder in the cache."""
    from huggingface_hub.file_download import repo_folder_name

    name = repo_folder_name(repo_id=repository.name, repo_type=repository.kind)
    return cache_folder() / name


def _unreached(repository: Repository, reason: str) -> Listing:
    cached = _cached(repository)
    if cached is None:
        raise AuditError(
            f"The hub cannot be reached ({reason}), and {repository} is not in the cache; "
            "connect, or give a local folder."
        )
    _log.warning(
        "The hub cannot be reached; %s is taken from the cache, at commit %s.",
        repository,
        cached.commit,
    )
    return cached


def _check_name(repository: Repository) -> None:
    """Refuse a name that no repository can have, on the hub or in the cache.

    Raises:
        AuditError: The name is impossible.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repository.name)
    except HFValidationError as error:
        raise AuditError(
            f"{shown(repository.name)!r} is no name of a repository ({shown(first_line(error))}); "
            "give ORG/NAME."
        ) from error


def _answer(repository: Repository) -> Any:
    """The hub's JSON answer on the repository."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    url = (
        f"{constants.ENDPOINT}/api/{repository.kind}s/{repository.name}"
        f"/revision/{quote(repository.revision, safe='')}"
    )
    response = bounded_session().get(
        url, params={"blobs": True}, headers=build_hf_headers(), timeout=SILENCE_SECONDS
    )
    hf_raise_for_status(response)
    what = f"What the hub answers of {repository}"
    try:
        text = response.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AuditError(f"{what} is no text; is {shown(constants.ENDPOINT)} a hub?") from error
    try:
        return parsed_json(text, what)
    except AuditError as error:
        raise AuditError(f"{error} Is {shown(constants.ENDPOINT)} a hub?") from error


def _listed(repository: Repository, said: Any) -> Listing:
    if not isinstance(said, dict):
        raise _no_listing(repository, "holds no description of a repository")
    commit, files = said.get("sha"), said.get("siblings")
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise _no_listing(repository, f"names the commit {shown(commit, 60)!r}")
    if COMMIT.fullmatch(repository.revision) and commit != repository.revision:
        raise _no_listing(repository, f"is of commit {commit}")
    if not isinstance(files, list):
        raise _no_listing(repository, "lists no files")
    if len(files) > MOST_FILES:
        raise _no_listing(repository, f"lists {len(files):,} files, and {MOST_FILES:,} are read")
    sizes: dict[str, int] = {}
    for file in files:
        path, size = (file.get("rfilename"), file.get("size")) if isinstance(file, dict) else (0, 0)
        if not isinstance(path, str) or not is_relative(path):
            raise _no_listing(repository, f"names the file {shown(path, 80)!r}")
        size = 0 if size is None else size
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST_FILE:
            raise _no_listing(repository, f"says {shown(size, 40)} bytes of {path}")
        sizes[path] = size
    return Listing(repository=repository, commit=commit, sizes=sizes)


def _no_listing(repository: Repository, what: str) -> AuditError:
    from huggingface_hub.constants import ENDPOINT

    return AuditError(
        f"What the hub answers of {repository} {what}; set HF_ENDPOINT (now {shown(ENDPOINT)}) to "
        "a hub or mirror that can be trusted."
    )


def _cached(repository: Repository) -> Listing | None:
    place = home(repository)
    commit = _referred(place / "refs" / repository.revision) or repository.revision
    snapshot = place / "snapshots" / commit
    if not COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return None
    files = [file for file in snapshot.rglob("*") if file.is_file()]
    inside = (place.resolve(), place.parent.resolve())
    for file in files:
        # Files of a snapshot are links into the cache; one that leads elsewhere is foreign.
        if not any(file.resolve().is_relative_to(folder) for folder in inside):
            raise AuditError(
                f"{shown(file)} in the hub's cache is a link to {shown(file.resolve())}; remove "
                "it, and run sae-audit fetch."
            )
    sizes = {file.relative_to(snapshot).as_posix(): file.stat().st_size for file in files}
    others = _noted_paths(place / NOTES / f"{commit}.json") - sizes.keys()
    return Listing(
        repository=repository, commit=commit, sizes=sizes, from_cache=True, others=frozenset(others)
    )


def _noted_paths(note: Path) -> set[str]:
    """All paths of a commit, if stored when the hub was asked."""
    if not note.is_file():
        return set()
    found = read_json(note)
    paths = found if isinstance(found, list) else []
    if len(paths) > MOST_FILES or not all(isinstance(p, str) and is_relative(p) for p in paths):
        raise AuditError(f"{shown(note)} is no list of a repository's files; remove it.")
    return set(paths)


def _referred(reference: Path) -> str | None:
    """The commit that a reference of the cache names; None if there is none."""
    try:
        if not reference.is_file():
            return None
        with reference.open("rb") as stream:
            text = stream.read(_REFERENCE_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if COMMIT.fullmatch(text) else None
