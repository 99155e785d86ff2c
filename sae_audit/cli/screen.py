"""What the commands print to: results to stdout, complaints to stderr."""

from rich.console import Console
from rich.markup import escape

from sae_audit.untrusted import printable

out = Console()
err = Console(stderr=True)


def escaped(text: str) -> str:
    """Text that neither rich takes for its own markup nor a terminal for an order."""
    return escape(printable(text))


def line(text: str) -> None:
    """One line as it is: not wrapped, so that a path can be copied."""
    out.print(escaped(text), soft_wrap=True, highlight=False)
