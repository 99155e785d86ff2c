"""The command line: arguments in, exit codes out, and the only printing."""

import atexit
import os
import signal
import sys
from importlib import import_module

# Not from typing, whose import takes longer than all of this: until `main` has told Python what to do
# when it is told to stop, it ends by Python's own ways.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import FrameType
    from typing import NoReturn

_INCOMPLETE = 3
_STOPS = (signal.SIGINT, signal.SIGTERM)
_MOMENT = 0.02
"""Seconds."""


def main() -> "NoReturn":
    """Run the command. Told to stop while the libraries are still loading, it ends as it does later;
    told so after its end, it ends as it would have."""
    code: object = _INCOMPLETE
    try:
        _on(signal.SIGTERM, _terminated)
        # The first to be registered is the last to be called.
        atexit.register(_be_deaf)
        sys.unraisablehook = _unraised
        import_module("sae_audit.cli.commands").main()
    except KeyboardInterrupt:
        sys.stderr.write("error: Interrupted. Run the same command again to resume.\n")
    except SystemExit as done:
        code = done.code
    _leave(code if isinstance(code, int) else 0)


def _terminated(_signal: int, _frame: "FrameType | None") -> "NoReturn":
    # A scheduler that takes the machine back says so by SIGTERM: the same end as Ctrl-C.
    raise KeyboardInterrupt


def _unraised(what: "UnraisableHookArgs") -> None:
    """Python goes on as if nothing had been said if it is told to stop while it clears an object away:
    it is told once more, a moment later."""
    if not issubclass(what.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(what)
        return
    from _thread import interrupt_main
    from threading import Timer

    again = Timer(_MOMENT, interrupt_main)
    again.daemon = True
    again.start()


def _leave(code: int) -> "NoReturn":
    """All is said and done; threads that still wait for something are not waited for if told to stop."""
    for number in _STOPS:
        _on(number, lambda _signal, _frame: os._exit(code))
    sys.exit(code)


def _be_deaf() -> None:
    """While Python takes itself apart, it would die of a signal by its default."""
    for number in _STOPS:
        _on(number, signal.SIG_IGN)


def _on(number: signal.Signals, then: object) -> None:
    try:
        signal.signal(number, then)  # pyright: ignore[reportArgumentType]
    except ValueError:  # only a main thread can be told of signals
        return


__all__ = ["main"]
