"""The command line: arguments in, exit codes out, and the only printing."""

import contextlib
import signal
import sys
from importlib import import_module
from typing import Any, NoReturn


def main() -> NoReturn:
    """Run the command. Told to stop while the libraries are still loading, it ends as it does later."""
    try:
        with contextlib.suppress(ValueError):  # only a main thread can be told of signals
            signal.signal(signal.SIGTERM, _terminated)
        import_module("sae_audit.cli.commands").main()
    except KeyboardInterrupt:
        sys.stderr.write("error: Interrupted. Run the same command again to resume.\n")
    sys.exit(3)


def _terminated(_signal: int, _frame: Any) -> NoReturn:
    # A scheduler that takes the machine back says so by SIGTERM: the same end as Ctrl-C.
    raise KeyboardInterrupt


__all__ = ["main"]
