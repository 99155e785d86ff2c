"""Output of the commands: results to stdout, progress and complaints to stderr."""

import contextlib
import os

from rich.console import Console
from rich.markup import escape

from sae_audit.untrusted import printable


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # The reader has closed the output (`| head`); the work continues silently.
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def _environment() -> dict[str, str]:
    """The environment without a terminal width too small to show anything."""
    named = dict(os.environ)
    if not named.get("COLUMNS", "").strip("0"):
        named.pop("COLUMNS", None)
    return named


out = _Console(_environ=_environment())
err = _Console(stderr=True, _environ=_environment())


def escaped(text: str) -> str:
    """Text without effect as rich markup or as terminal control."""
    return escape(printable(text))


def line(text: str) -> None:
    """Print one line unwrapped, so that a path can be copied."""
    out.print(escaped(text), soft_wrap=True, highlight=False)


def aside(text: str) -> None:
    """Print one line unwrapped beside the results, to stderr."""
    err.print(escaped(text), soft_wrap=True, highlight=False)
