"""Messages and exit codes of failed commands.

0 done; 2 bad input, in one sentence with the remedy; of `compare` also 1, a limit is broken, and 4, it
cannot be told; 3 incomplete: out of memory or disk, or an internal failure, which is a fault of this
project and writes its traceback to a file; 130 interrupted, by Ctrl-C or a scheduler.
"""

import contextlib
import errno
import os
import platform
import sys
import tempfile
import traceback
from datetime import UTC, datetime

import typer

from sae_audit.cli.screen import err, escaped
from sae_audit.errors import (
    AuditError,
    AuditIncompleteError,
    FaultInsideError,
    InterruptedDownloadError,
)
from sae_audit.untrusted import shown

DONE, BAD_INPUT, INCOMPLETE = 0, 2, 3

INTERRUPTED = 130
"""Exit code after Ctrl-C, of shells and of typer."""

_AGAIN = "Run the same command again to resume."
_GO_ON = "Run the same command again to go on."


class Stopped(Exception):  # noqa: N818
    """An audit was interrupted at the stage that it names; no error, and nothing is lost."""


def end_by(error: BaseException) -> int:
    """The exit code of a failure, after one sentence on it is printed."""
    match error:
        case AuditError():
            return _complain(str(error), BAD_INPUT)
        case Stopped():
            at = f" at {error}" if str(error) else ""
            return _complain(f"Stopped{at}. {_GO_ON}", INTERRUPTED)
        case KeyboardInterrupt() | typer.Abort():
            return _complain(f"Stopped. {_GO_ON}", INTERRUPTED)
        case InterruptedDownloadError():
            return _complain(f"{error} {_AGAIN}", INCOMPLETE)
        case FaultInsideError(__cause__=BrokenPipeError() as cause):
            # The pipe is not the screen's, which continues without a reader.
            return _complain(_fault_of_ours(cause), INCOMPLETE)
        case FaultInsideError(__cause__=Exception() as cause):
            return end_by(cause)
        case AuditIncompleteError():
            return _complain(f"{error} {_AGAIN}", INCOMPLETE)
        case MemoryError():
            return _complain(
                "Memory ran out. What was found so far is kept; run the command again with lower "
                "--set tokens_per_batch=...; with fewer layers it is another audit, for another --out.",
                INCOMPLETE,
            )
        case FileNotFoundError() if "No usable temporary directory" in str(error):
            return _complain(
                "No folder for temporary files can be written; set TMPDIR to one that can be.",
                BAD_INPUT,
            )
        case _ if _is_full_disk(error):
            return _complain(
                "The disk is full (the run's, or that of temporary files: TMPDIR). What was found "
                "so far is kept; make room and run the same command again to resume.",
                INCOMPLETE,
            )
        case BrokenPipeError():
            # The reader of the output has closed it (`sae-audit catalog | head`).
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        case _ if type(error).__name__ == "OutOfMemoryError":
            return _complain(
                "The device's memory ran out. What was found so far is kept; run the command again "
                "with lower --set tokens_per_batch=..., or on a larger device; with --dtype "
                "bfloat16 it is another audit, for another --out.",
                INCOMPLETE,
            )
        case _ if hasattr(error, "show"):
            # A usage error prints itself.
            error.show()  # pyright: ignore[reportAttributeAccessIssue]
            return BAD_INPUT
        case _:
            return _complain(_fault_of_ours(error), INCOMPLETE)


def _is_full_disk(error: BaseException) -> bool:
    """Whether the disk is full, also in safetensors' own exception."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    said = str(error)
    return type(error).__name__ == "SafetensorError" and any(
        f"(os error {number})" in said for number in (errno.ENOSPC, errno.EDQUOT)
    )


def _complain(sentence: str, code: int) -> int:
    if code == INTERRUPTED:
        err.print(escaped(sentence), soft_wrap=True, highlight=False)
        return code
    err.print(f"[bold red]error:[/] {escaped(sentence)}", soft_wrap=True, highlight=False)
    return code


def _fault_of_ours(error: BaseException) -> str:
    what = shown(f"{type(error).__name__}: {error}".splitlines()[0].strip().removesuffix(":"))
    said = f"This is a fault of sae-audit ({what}), and what was found so far is kept"
    path = _written(error)
    if not path:
        return (
            f"{said}; its traceback could not be written: set TMPDIR to a folder with room, run "
            "the same command again, and please report it with the file that is named then."
        )
    return (
        f"{said}; the traceback is in {path}: please report it with that file, after a look that "
        "it names nothing you would not show."
    )


def _written(error: BaseException) -> str:
    """Path of a new file with the traceback and versions; empty if no file can be written."""
    from sae_audit.record.environment import environment, package_version

    now = datetime.now(UTC).isoformat(timespec="seconds")
    packages = "\n".join(f"{name} {v}" for name, v in environment("").packages.items())
    text = (
        f"sae-audit {package_version()}, {now}\n"
        f"python {platform.python_version()} on {platform.platform()}\n{packages}\n"
        f"command: {' '.join(sys.argv)}\n\n" + "".join(traceback.format_exception(error))
    )
    try:
        descriptor, path = tempfile.mkstemp(prefix="sae-audit-fault-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return ""
    return path
