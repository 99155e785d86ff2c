"""Foreign templates, rendered in a process of their own: chat templates and what judges read.

The process is started when the first template is rendered and serves all of them; one that exceeds
its time or memory is stopped, and the next template has a new one (`template_process`).
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
"""With what transformers gives chat templates, or jinja2 alone, where an unknown name is an error."""

TODAY = datetime(2024, 7, 26)
"""For templates that write today's date into the prompt (Llama-3.2's do where none is given): the
same audit tomorrow must ask the same. It is what Llama-3.1's write without a clock."""
LONGEST_TEMPLATE = 1 << 20
"""Characters of a template that is rendered; the longest published ones have some 30,000."""
_SECONDS = 30
"""Longest wait. The process is ended after few seconds of computing; on a busy machine those last
longer."""
_PROGRAM = Path(__file__).with_name("template_process.py")


class TemplateError(AuditError):
    """A template that cannot be rendered; its text is the reason, and who asked says of what."""


def rendered(source: str, variables: Mapping[str, Any], *, kind: Kind) -> str:
    """What the template makes of the variables, which are plain JSON.

    Raises:
        TemplateError: it is no template, ends in an error, takes too long, needs too much memory, or
            writes what is no text.
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
    """The one process, started when asked and again after it was stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: subprocess.Popen[str] | None = None
        self._owner = 0

    def asked(self, request: str) -> dict[str, str]:
        """Its answer: `text` or `error`."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None, "a pipe"
            assert process.stdout is not None, "a pipe"
            watch = threading.Timer(_SECONDS, process.kill)
            # An audit that is told to stop while the thread starts does not wait for it to end.
            watch.daemon = True
            try:
                watch.start()
                process.stdin.write(request + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:  # it ended before it had read everything
                line = ""
            except BaseException:
                # Its answer is still to come, and would be read as that of the next template.
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
            # Forked: two that talk into one pipe would read each other's answers.
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
                # Ctrl-C is for the audit, which then closes the pipe.
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
    """Where jinja2 and what it needs are installed."""
    origins = [find_spec(name) for name in ("jinja2", "markupsafe")]
    return {str(Path(spec.origin).parents[1]) for spec in origins if spec and spec.origin}


_PROCESS = _Process()
atexit.register(_PROCESS.close)
