"""The command line: arguments in, exit codes out, and the only printing."""

import atexit
import os
import signal
import sys
from importlib import import_module

# Not from typing, whose import takes longer than everything here: until `main` has set its signal
# handlers, Python ends by its defaults.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import FrameType
    from typing import NoReturn

_INTERRUPTED = 130
_STOPS = (signal.SIGINT, signal.SIGTERM)
_MOMENT = 0.02
"""Seconds between two attempts to interrupt."""


def main() -> "NoReturn":
    """Run the command; a signal to stop also interrupts the loading of libraries, and has no effect
    after the end."""
    code: object = _INTERRUPTED
    try:
        _on(signal.SIGTERM, _terminated)
        # The first to be registered is the last to be called.
        atexit.register(_be_deaf)
        sys.unraisablehook = _unraised
        import_module("sae_audit.cli.commands").main()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. Run the same command again to go on.\n")
    except SystemExit as done:
        code = done.code
    _leave(code if isinstance(code, int) else 0)


def _terminated(_signal: int, _frame: "FrameType | None") -> "NoReturn":
    # A scheduler that takes the machine back sends SIGTERM: the same end as Ctrl-C.
    raise KeyboardInterrupt


def _unraised(what: "UnraisableHookArgs") -> None:
    """Interrupt again, a moment later: Python discards an interrupt that arrives while it finalises an
    object."""
    if not issubclass(what.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(what)
        return
    from threading import Timer, main_thread

    # To the main thread itself, so that what it waits for is interrupted too; not by SIGINT, which a
    # command that a script starts in the background ignores.
    again = Timer(_MOMENT, signal.pthread_kill, [main_thread().ident, signal.SIGTERM])
    again.daemon = True
    again.start()


def _leave(code: int) -> "NoReturn":
    """Exit with this code; if interrupted, without waiting for threads."""
    for number in _STOPS:
        _on(number, lambda _signal, _frame: os._exit(code))
    sys.exit(code)


def _be_deaf() -> None:
    """Ignore signals during Python's shutdown, whose default would end the process."""
    for number in _STOPS:
        _on(number, signal.SIG_IGN)


def _on(number: signal.Signals, then: object) -> None:
    try:
        signal.signal(number, then)  # pyright: ignore[reportArgumentType]
    except ValueError:  # only the main thread can set signal handlers
        return


__all__ = ["main"]
