"""What the commands print to: results to stdout, complaints to stderr."""

import contextlib
import os

from rich.console import Console
from rich.markup import escape

from sae_audit.untrusted import printable


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Whoever read the output has read enough (`| head`); the work goes on without a word.
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def _environment() -> dict[str, str]:
    """The environment, without a width in which nothing could be shown."""
    named = dict(os.environ)
    if not named.get("COLUMNS", "").strip("0"):
        named.pop("COLUMNS", None)
    return named


out = _Console(_environ=_environment())
err = _Console(stderr=True, _environ=_environment())


def escaped(text: str) -> str:
    """Text that neither rich takes for its own markup nor a terminal for an order."""
    return escape(printable(text))


def line(text: str) -> None:
    """One line as it is: not wrapped, so that a path can be copied."""
    out.print(escaped(text), soft_wrap=True, highlight=False)
