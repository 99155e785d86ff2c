"""Progress of an audit on stderr: one line rewritten on a terminal; in a log, a line for each stage."""

import time
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from sae_audit.cli import screen
from sae_audit.cli.faults import Stopped

if TYPE_CHECKING:
    from rich.status import Status

    from sae_audit.config import AuditConfig
    from sae_audit.findings.stages import Step
    from sae_audit.pipeline.session import Progress
    from sae_audit.record.run import Run

EVERY_SECONDS = 60.0
"""Time between two lines of one stage in a log."""
BRIEF_SECONDS = 5.0
"""Time for which a stage in a log is silent: one that takes less has only the line at its end."""
_BEFORE_ESTIMATE = 5.0
"""Seconds of a stage before the time left is said."""


class Reporter:
    """Says where an audit is; called with each piece of work that is done.

    In a log a brief stage has one line, when it ends; others have one after some seconds, one every
    minute and one when they end. A stage ends when the next one begins: what it does after its last
    piece of work is its own.
    """

    def __init__(
        self,
        steps: "Sequence[Step]",
        *,
        rewritten: bool,
        clock: Callable[[], float] = time.monotonic,
        brief: float = BRIEF_SECONDS,
        every: float = EVERY_SECONDS,
    ) -> None:
        from sae_audit.findings.stages import LOADING

        self._places = {step.name: place for place, step in enumerate(steps, 1)}
        self._loading = LOADING
        self._rewritten = rewritten
        self._clock = clock
        self._brief, self._every = brief, every
        self._step: Step | None = None
        self._done = self._total = 0
        self._since = 0.0
        self._said: float | None = None
        """When something was said of the stage; None if nothing was yet."""
        self._lock = Lock()
        self._ended = Event()
        self._status: Status | None = None
        if not rewritten:
            Thread(target=self._watch, daemon=True).start()

    def __call__(self, step: "Step", done: int, total: int) -> None:
        with self._lock:
            if self._step is not step:
                self._end()
                self._begin(step)
            self._done, self._total = done, total
            # What loads has lines of its own, of downloads, which a rewritten line would break.
            if self._rewritten and step is not self._loading:
                self._rewrite()

    @property
    def place(self) -> str:
        """`stage 6 of 33`; empty before the first one."""
        if self._step is None or self._step.name not in self._places:
            return ""
        return f"stage {self._places[self._step.name]} of {len(self._places)}"

    def line(self) -> str:
        """`[ 6/33] Minimal sets 17/40, about 2 min left`."""
        assert self._step is not None, "no stage"
        counted = f" {self._done}/{self._total}" if self._total > 1 else ""
        return f"{self._head()}{counted}{self._left()}"

    def finish(self) -> None:
        """Say that the last stage is done."""
        with self._lock:
            self._end()

    def close(self) -> None:
        """Stop the rewriting of the line, and the lines of the log."""
        with self._lock:
            self._ended.set()
            self._finish_line()

    def _head(self) -> str:
        assert self._step is not None, "no stage"
        place, width = self._places.get(self._step.name), len(str(len(self._places)))
        number = "" if place is None else f"[{place:>{width}}/{len(self._places)}] "
        return f"{number}{self._step.label}"

    def _left(self) -> str:
        spent = self._clock() - self._since
        if not 0 < self._done < self._total or spent < _BEFORE_ESTIMATE:
            return ""
        left = spent / self._done * (self._total - self._done)
        return f", about {lasting(left)} left"

    def _begin(self, step: "Step") -> None:
        self._step, self._said = step, None
        self._since = self._clock()
        self._done = self._total = 0
        if self._rewritten and step is self._loading:
            self._say(self._head())

    def _end(self) -> None:
        if self._step is not None and not self._rewritten:
            self._say(f"{self._head()}: done in {lasting(self._clock() - self._since)}")

    def _say(self, text: str) -> None:
        self._said = self._clock()
        screen.aside(text)

    def _rewrite(self) -> None:
        if self._status is None:
            self._status = screen.err.status("", spinner="line")
            self._status.start()
        self._status.update(screen.escaped(self.line()))

    def _finish_line(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _watch(self) -> None:
        while not self._ended.wait(min(self._brief, self._every) / 5):
            with self._lock:
                self.look()

    def look(self) -> None:
        """Say where the stage is, if it is time."""
        silent_until = self._since + self._brief if self._said is None else self._said + self._every
        if self._step is not None and self._clock() >= silent_until:
            self._say(self._head() if self._said is None else self.line())


def lasting(seconds: float) -> str:
    """`40 s`, `2 min`, `1 h 20 min`."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def with_progress(config: "AuditConfig", work: "Callable[[Progress], Run]") -> "Run":
    """The result of the work, an audit with these settings, with its progress on the screen.

    Raises:
        Stopped: it was interrupted; says at which stage.
    """
    from sae_audit.pipeline.steps import steps_of

    reporter = Reporter(steps_of(config), rewritten=screen.err.is_terminal)
    try:
        run = work(reporter)
        reporter.finish()
    except KeyboardInterrupt:
        raise Stopped(reporter.place) from None
    finally:
        reporter.close()
    return run
