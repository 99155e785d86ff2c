"""Foreign templates, for chats and for judges, rendered in a separate process.

The process starts with the first template and serves all of them; if one exceeds its time or memory,
the process is stopped and the next template gets a new one (`template_process`).
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

Kind = Literal["chat", "plain"]
"""Environment: transformers' for chat templates, or plain jinja2 with errors for unknown names."""

TODAY = datetime(2024, 7, 26)
"""Date for templates that write today's date into the prompt (as Llama-3.2's), fixed so that an audit
can be repeated. Llama-3.1's writes this date if it has no clock."""
LONGEST_TEMPLATE = 1 << 20
"""Characters, the limit of a template; the longest published ones have about 30,000."""
_SECONDS = 30
"""Seconds, the longest wait. The process itself is limited to a few seconds of computing, which last
longer on a busy machine."""
_PROGRAM = Path(__file__).with_name("template_process.py")


class TemplateError(AuditError):
    """A template that cannot be rendered; the text is the reason, and the caller names the template."""


def rendered(source: str, variables: Mapping[str, Any], *, kind: Kind) -> str:
    """The text that the template renders from the variables, which are plain JSON.

    Raises:
        TemplateError: The template is invalid, ends in an error, takes too long, needs too much memory,
            or renders something other than text.
    """
    if len(source) > LONGEST_TEMPLATE:
        raise TemplateError(
            f"it has {len(source)} characters, and at most {LONGEST_TEMPLATE} are read"
        )
    answer = _PROCESS.asked(json.dumps({"kind": kind, "source": source, "variables": variables}))
    if "text" not in answer:
        raise TemplateError(shown(answer["error"]))
    try:
        answer["text"].encode()
    except UnicodeEncodeError as error:
        half = shown(answer["text"][error.start])
        raise TemplateError(f"it writes {half}, half a character, which is no text") from error
    return answer["text"]


class _Process:
    """The one process, started on request and again after a stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: subprocess.Popen[str] | None = None
        self._owner = 0

    def asked(self, request: str) -> dict[str, str]:
        """The process's answer: `text` or `error`."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None, "a pipe"
            assert process.stdout is not None, "a pipe"
            watch = threading.Timer(_SECONDS, process.kill)
            # As a daemon, the thread does not delay an audit that is told to stop.
            watch.daemon = True
            try:
                watch.start()
                process.stdin.write(request + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:  # it ended before it had read everything
                line = ""
            except BaseException:
                # The pending answer would be read as that of the next template.
                self._stop()
                raise
            finally:
                watch.cancel()
            if line.endswith("\n"):
                return json.loads(line)
            ended_by = process.wait()
            self._stop()
        if ended_by in (-signal.SIGXCPU, -signal.SIGKILL):
            return {"error": "it takes more than a few seconds, as one that never ends does"}
        return {"error": f"the process that renders it ended with {ended_by}"}

    def _running(self) -> "subprocess.Popen[str]":
        if self._owner != os.getpid():
            # After a fork, two parents on one pipe would read each other's answers.
            self._started = None
        if self._started is None or self._started.poll() is not None:
            self._stop()
            self._started = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_PROGRAM), TODAY.isoformat(), *_folders()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="ascii",
                # Ctrl-C goes to the audit, which then closes the pipe.
                start_new_session=True,
            )
            self._owner = os.getpid()
        return self._started

    def _stop(self) -> None:
        process, self._started = self._started, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.communicate()

    def close(self) -> None:
        with self._lock:
            self._stop()


def _folders() -> set[str]:
    """Folders in which jinja2 and its requirements are installed."""
    origins = [find_spec(name) for name in ("jinja2", "markupsafe")]
    return {str(Path(spec.origin).parents[1]) for spec in origins if spec and spec.origin}


_PROCESS = _Process()
atexit.register(_PROCESS.close)
