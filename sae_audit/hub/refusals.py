"""Explanations of the hub's refusals and failures, one sentence each."""

from typing import Any

from sae_audit.errors import AuditError, InterruptedDownloadError
from sae_audit.hub.repositories import Repository
from sae_audit.untrusted import shown

_FAILURES = {
    "ConnectionError",
    "TransportError",
    "RequestError",  # too many redirections, an answer that cannot be decompressed
    "InvalidURL",
    "Timeout",
    "TimeoutError",
}


def refusal(repository: Repository, error: Exception) -> AuditError:
    """Why the hub refused, and what to do."""
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
            f"{repository.name} has no revision {repository.revision!r}; "
            f"{repository.page}/tree/main shows its branches, tags and commits."
        )
    if isinstance(error, RepositoryNotFoundError):
        return AuditError(
            f"The hub has no {repository.kind} {repository.name}, or it is private; check the "
            "name, or log in with `hf auth login`. (A local folder must exist.)"
        )
    if getattr(getattr(error, "response", None), "status_code", None) == 403:
        return AuditError(
            f"The hub forbids to read {repository}: accept its terms at {repository.page}, and if "
            "you have, let the token read gated repositories (huggingface.co/settings/tokens)."
        )
    return AuditError(f"The hub refuses {repository}: {first_line(error)}")


def interrupted(repository: Repository, path: str, error: Exception) -> InterruptedDownloadError:
    """An error for a download that broke off, with the reason."""
    return InterruptedDownloadError(
        f"The download of {path} from {repository} broke off: {first_line(error)}."
    )


def unusable(repository: Repository, path: str, error: Exception) -> AuditError:
    """An error for an answer that the hub library cannot process."""
    return AuditError(
        f"What the hub answers of {path} in {repository} cannot be used ({type(error).__name__}: "
        f"{first_line(error)}); set HF_ENDPOINT to a hub or mirror that can be trusted."
    )


def first_line(error: Exception) -> str:
    """The first line of an error, escaped: servers may write into it."""
    return shown((str(error).strip() or type(error).__name__).splitlines()[0])


def is_refused(error: Any) -> bool:
    """True if the hub refused the request, so that repeating it is useless."""
    return (
        error.response is not None
        and 400 <= error.response.status_code < 500
        and (error.response.status_code not in (408, 429))
    )


def is_broken_off(error: Exception) -> bool:
    """True if the download broke off and may be resumed."""
    # Large files come through a separate library with its own exceptions.
    by_xet = type(error).__name__.startswith("Xet") or "CAS service" in str(error)
    return by_xet or is_connection_failure(error) or "onsistency check failed" in str(error)


def is_connection_failure(error: Exception) -> bool:
    """True if the hub gave no complete answer."""
    # The hub library has changed its HTTP client twice; all of them use these names.
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & _FAILURES)
