"""The hub and the repositories that an audit needs, each checked independently."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sae_audit.bundled import PREFIX
from sae_audit.catalog import read_catalog
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.hub import (
    Listing,
    Repository,
    as_repository,
    bounded_session,
    check_setup,
    gigabytes,
    known_token,
    listing,
    weight_files,
)
from sae_audit.planning.checks import Check, attempted, failure
from sae_audit.planning.downloads import Download
from sae_audit.prompts import sources
from sae_audit.prompts.taxonomy import sources_of
from sae_audit.subject.checkpoint.model_place import needed_files, repository_of
from sae_audit.subject.saes.null_saes import null_places
from sae_audit.subject.saes.places import SaePlace
from sae_audit.untrusted import shown

_SECONDS = 10
"""Seconds within which the hub must answer."""
_FILES = {
    "model": "model files",
    "adapter": "adapter files",
    "SAEs": "SAE files",
    "prompts": "prompt files",
    "judge": "judge files",
}


@dataclass(frozen=True, kw_only=True)
class Need:
    """Hub files for one part of an audit."""

    purpose: str
    downloads: tuple[Download, ...] | AuditError
    """Downloads; empty if everything is on this machine."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Availability of the repositories."""

    checks: list[Check]
    blocked: frozenset[str]
    """Purposes whose files are unavailable."""
    missing: int
    """Known bytes still to be downloaded."""
    all_sized: bool
    """True if every repository's size is known."""


def check_hub(*, is_needed: bool) -> list[Check]:
    """Whether the hub answers, and to which user; it `is_needed` if files are missing here."""
    from huggingface_hub.constants import ENDPOINT, is_offline_mode

    is_offline = is_offline_mode()
    token = attempted(known_token if is_offline else check_setup)
    if isinstance(token, AuditError):
        return [failure("hub", token)]
    if is_offline:
        found = "HF_HUB_OFFLINE is set: only what is in the cache can be used"
        return [Check(name="hub", status="note", found=found), _unasked_login(token)]
    reason = _failure_of(lambda: bounded_session().head(ENDPOINT, timeout=_SECONDS))
    if reason:
        found = f"{ENDPOINT} cannot be reached ({reason}); only what is in the cache can be used"
        remedy = "Connect to the hub, or set HF_ENDPOINT (a mirror) or HTTPS_PROXY."
        unreached = Check(name="hub", status="warning", found=found, remedy=remedy)
        if not is_needed:
            unreached = Check(name="hub", status="note", found=f"{found}, and all is there")
        return [unreached, _unasked_login(token)]
    return [Check(name="hub", status="ok", found=f"{ENDPOINT} answers"), _login(token)]


def needs_of(config: AuditConfig, places: Sequence[SaePlace] | AuditError) -> list[Need]:
    """The needs of each part; a failure ends only its own listing."""
    needs = [
        _need(
            "model", lambda: _model(repository_of(config.model, config.revision, "model"), config)
        )
    ]
    if config.adapter is not None and not config.adapter.startswith(PREFIX):
        adapter = as_repository(config.adapter)
        needs.append(_need("adapter", lambda: _adapter(adapter)))
    saes = (
        places
        if isinstance(places, AuditError)
        else _saes([*places, *_null_places(config, [place.layer for place in places])])
    )
    needs.append(Need(purpose="SAEs", downloads=saes))
    names = attempted(lambda: sources_of(config))
    # What is wrong with a taxonomy is said by its own check.
    names = config.prompts.sources if isinstance(names, AuditError) else names
    needs += [_need("prompts", lambda name=name: _prompts(name)) for name in names]
    if config.confirm == "text" and config.judge.model is not None:
        judge = as_repository(config.judge.model)
        needs.append(_need("judge", lambda: _judge(judge)))
    return needs


def check_access(needs: Sequence[Need]) -> Access:
    """Each repository: listed, its terms accepted, cached or how much to download."""
    checks: list[Check] = []
    blocked: set[str] = set()
    missing = 0
    for need in needs:
        if isinstance(need.downloads, AuditError):
            found = [failure(_FILES[need.purpose], need.downloads)]
        else:
            found = [_access(download) for download in need.downloads]
            missing += sum(download.missing_bytes for download in need.downloads)
        if any(check.status == "failed" for check in found):
            blocked.add(need.purpose)
        # Two sets of one repository are reported once.
        checks += [check for check in found if check not in checks]
    return Access(
        checks=checks,
        blocked=frozenset(blocked),
        missing=missing,
        all_sized=all(_is_sized(need) for need in needs),
    )


def _is_sized(need: Need) -> bool:
    return not isinstance(need.downloads, AuditError) and all(
        path in download.held.sizes for download in need.downloads for path in download.files
    )


def _need(purpose: str, ask: Callable[[], tuple[Download, ...]]) -> Need:
    return Need(purpose=purpose, downloads=attempted(ask))


def _model(repository: Repository | None, config: AuditConfig) -> tuple[Download, ...]:
    if repository is None:
        return ()
    held = listing(repository)
    files = [*needed_files(held, code=config.trust_remote_code), *_weights(held)]
    return (Download(purpose="model", held=held, files=tuple(files)),)


def _judge(repository: Repository | None) -> tuple[Download, ...]:
    if repository is None:
        return ()
    held = listing(repository)
    files = [*needed_files(held, code=False), *_weights(held)]
    return (Download(purpose="judge", held=held, files=tuple(files)),)


def _adapter(repository: Repository | None) -> tuple[Download, ...]:
    if repository is None:
        return ()
    files = ("adapter_config.json", "adapter_model.safetensors")
    return (Download(purpose="adapter", held=listing(repository), files=files),)


def _weights(held: Listing) -> list[str]:
    try:
        return weight_files(held)
    except AuditError:
        if not held.from_cache:
            raise
        # The cache says what was fetched, not what exists.
        raise AuditError(
            f"The cache has no weights of {held.repository}, and the hub cannot be asked; connect, and "
            "run sae-audit fetch."
        ) from None


def _null_places(config: AuditConfig, audited: Sequence[int]) -> list[SaePlace]:
    """Those of the user's own null dictionaries that are found; the rest is reported where they are
    checked."""
    catalog = attempted(lambda: read_catalog(config.catalog))
    if isinstance(catalog, AuditError):
        return []
    found = [
        attempted(lambda asked=asked, suites=catalog: null_places(asked, audited, catalog=suites))
        for asked in config.evidence.null_saes
    ]
    return [p for one in found if not isinstance(one, AuditError) for p in one.values()]


def _saes(places: Sequence[SaePlace]) -> tuple[Download, ...]:
    by_repository: dict[str, Download] = {}
    for place in places:
        if place.held is not None:
            empty = Download(purpose="SAEs", held=place.held, files=())
            before = by_repository.get(str(place.held.repository), empty)
            joined = replace(before, files=(*before.files, *place.files))
            by_repository[str(place.held.repository)] = joined
    return tuple(by_repository.values())


def _prompts(name: str) -> tuple[Download, ...]:
    return tuple(
        Download(purpose="prompts", held=held, files=tuple(paths))
        for held, paths in sources.downloads([name])
    )


def _access(download: Download) -> Check:
    held, name = download.held, _FILES[download.purpose]
    what = f"{held.repository} at commit {held.commit[:12]}"
    absent = [path for path in download.files if path not in held.sizes]
    if absent:
        lacking = f"{absent[0]} ({len(absent)} of {len(download.files)} files)"
        found = f"{what}: {'the cache' if held.from_cache else 'it'} lacks {lacking}"
        remedy = "Name a revision or repository that has it."
        if held.from_cache:
            remedy = "Connect to the hub (without HF_HUB_OFFLINE), and run sae-audit fetch."
        return Check(name=name, status="failed", found=found, remedy=remedy)
    left, size = download.missing_bytes, gigabytes(download.n_bytes)
    if left == 0:
        found = f"{what}: {size}, all in the cache"
        return Check(name=name, status="ok", found=found)
    refused = _refused(name, held.repository)
    return refused or Check(
        name=name, status="ok", found=f"{what}: {size}, {gigabytes(left)} to download"
    )


def _refused(name: str, repository: Repository) -> Check | None:
    """A failed check if the hub lists files that it refuses to send; else None."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    try:
        reason = _failure_of(lambda: HfApi().auth_check(repository.name, repo_type=repository.kind))
    except GatedRepoError:
        login = "log in with `hf auth login` (or set HF_TOKEN)"
        if get_token() is not None:
            login = "use a token of the account that accepted them (`hf auth whoami` names it)"
        return Check(
            name=name,
            status="failed",
            found=f"{repository} is gated, and there is no access to its files",
            remedy=f"Accept the terms at {repository.page}, and {login}.",
        )
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            return Check(
                name=name,
                status="failed",
                found=f"the hub forbids to read the files of {repository}",
                remedy=f"Accept the terms at {repository.page}, and let the token read gated "
                "repositories (huggingface.co/settings/tokens).",
            )
        reason = _first(error)
    if not reason:
        return None
    found = f"{repository}: whether its files are given could not be asked ({reason})"
    return Check(name=name, status="unknown", found=found)


def _login(token: str | None) -> Check:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if token is None:
        return _unasked_login(None)
    who: dict[str, Any] = {}
    try:
        reason = _failure_of(lambda: who.update(HfApi().whoami()))
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code not in (401, 403):
            return Check(name="login", status="unknown", found="a token; the hub did not say whose")
        return Check(
            name="login",
            status="failed",
            found="the hub does not accept the token",
            remedy="Log in again with `hf auth login`, or set HF_TOKEN to a token that is valid.",
        )
    if reason:
        return Check(
            name="login", status="unknown", found=f"a token; whose, was not told ({reason})"
        )
    return Check(
        name="login", status="ok", found=f"as {shown(who.get('name', 'an unnamed account'))}"
    )


def _unasked_login(token: str | None) -> Check:
    if token is not None:
        return Check(
            name="login", status="note", found="there is a token; the hub was not asked whose"
        )
    found = "no token: enough for public repositories, gated ones need `hf auth login`"
    return Check(name="login", status="note", found=found)


def _failure_of(ask: Callable[[], object]) -> str:
    """Why one request got no answer; empty if it was answered.

    Raises:
        HfHubHTTPError: The hub refuses.
    """
    from huggingface_hub.errors import HfHubHTTPError

    bounded_session()
    try:
        answer = ask()
    except HfHubHTTPError:
        raise
    except Exception as error:  # the hub library's HTTP client and its exceptions have changed
        return _first(error)
    status = getattr(answer, "status_code", 200)
    return f"it answers {status}" if status >= 500 else ""


def _first(error: Exception) -> str:
    return shown((str(error).strip() or type(error).__name__).splitlines()[0])
