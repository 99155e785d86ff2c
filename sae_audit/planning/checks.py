"""The result of one check, and its form for a failure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from sae_audit.errors import AuditError, InterruptedDownloadError

T = TypeVar("T")
Status = Literal["ok", "note", "warning", "failed", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Result for one requirement of an audit."""

    name: str
    status: Status
    found: str
    remedy: str = ""
    """What to do about it; empty if nothing is needed, or if `found` says it."""

    @property
    def advice(self) -> str:
        return self.remedy or f"See to the {self.name}: {self.found}"


def attempted(ask: Callable[[], T]) -> T | AuditError:
    """The answer, or the AuditError as a value, so that other checks continue."""
    try:
        return ask()
    except AuditError as error:
        return error
    except InterruptedDownloadError as error:
        return AuditError(f"{error} Run the command again; it resumes the download.")


def failure(name: str, error: AuditError, remedy: str | None = None) -> Check:
    """A failed check, split as `what is wrong; what to do` unless a `remedy` is given."""
    found, _, advice = str(error).partition("; ")
    if remedy is not None:
        return Check(name=name, status="failed", found=str(error), remedy=remedy)
    if not advice:
        return Check(name=name, status="failed", found=found)
    return Check(name=name, status="failed", found=f"{found}.", remedy=_sentence(advice))


def unknown(name: str, reason: str) -> Check:
    return Check(name=name, status="unknown", found=f"not checked: {reason}")


def without_home(text: str) -> str:
    """The text with the user's home folder written `~`."""
    home = Path.home()
    if len(home.parts) < 2:  # a container's `/`, which is in every path
        return text
    return re.sub(rf"(?<![\w.~-]){re.escape(str(home))}(?![\w.-])", "~", text)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
