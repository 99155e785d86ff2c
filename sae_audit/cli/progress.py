"""Progress of an audit: one line rewritten on a terminal; in a log, lines at beginnings and ends."""

import time
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from sae_audit.cli import screen
from sae_audit.cli.faults import Stopped

if TYPE_CHECKING:
    from rich.status import Status

    from sae_audit.findings.stages import Step
    from sae_audit.pipeline.session import Progress
    from sae_audit.record.run import Run

EVERY_SECONDS = 60.0
"""Time between two lines of one stage in a log."""
_BEFORE_ESTIMATE = 5.0
"""Seconds of a stage before the time left is said."""


class Reporter:
    """Says where an audit is; called with each piece of work that is done.

    In a log a stage has a line when it begins, one every minute, and one when it ends.
    """

    def __init__(
        self,
        steps: "Sequence[Step]",
        *,
        rewritten: bool,
        clock: Callable[[], float] = time.monotonic,
        every: float = EVERY_SECONDS,
    ) -> None:
        self._places = {step.name: place for place, step in enumerate(steps, 1)}
        self._rewritten = rewritten
        self._clock = clock
        self._every = every
        self._step: Step | None = None
        self._last: Step | None = None
        self._done = self._total = 0
        self._since = self._said = 0.0
        self._lock = Lock()
        self._ended = Event()
        self._status: Status | None = None
        if not rewritten:
            Thread(target=self._tick, daemon=True).start()

    def __call__(self, step: "Step", done: int, total: int) -> None:
        with self._lock:
            if self._step is not step:
                self._end()
                self._begin(step)
            self._done, self._total = done, total
            if step.name not in self._places:
                return
            if self._rewritten:
                self._rewrite()
            elif done >= total > 0:
                self._end()

    @property
    def place(self) -> str:
        """`stage 6 of 38`; empty before the first one."""
        if self._last is None or self._last.name not in self._places:
            return ""
        return f"stage {self._places[self._last.name]} of {len(self._places)}"

    def line(self) -> str:
        """`[ 6/38] Minimal sets 17/40, about 2 min left`."""
        assert self._step is not None, "no stage"
        counted = f" {self._done}/{self._total}" if self._total > 1 else ""
        return f"{self._head()}{counted}{self._left()}"

    def close(self) -> None:
        """Stop the rewriting of the line, and the minute's lines."""
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
        self._step = self._last = step
        self._since = self._clock()
        self._done = self._total = 0
        # What loads has lines of its own, of downloads, which a rewritten line would break.
        if not self._rewritten or step.name not in self._places:
            self._say(self._head())

    def _end(self) -> None:
        """In a log, say that the stage is done, once."""
        if self._step is None or self._rewritten:
            return
        if self._step.name in self._places:
            self._say(f"{self._head()}: done in {lasting(self._clock() - self._since)}")
        self._step = None

    def _say(self, text: str) -> None:
        self._said = self._clock()
        screen.line(text)

    def _rewrite(self) -> None:
        if self._status is None:
            self._status = screen.out.status("", spinner="line")
            self._status.start()
        self._status.update(screen.escaped(self.line()))

    def _finish_line(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _tick(self) -> None:
        while not self._ended.wait(self._every):
            with self._lock:
                self.minute()

    def minute(self) -> None:
        """Say where the stage is, unless something was said within the last moments."""
        if self._step is not None and self._clock() - self._said >= 0.9 * self._every:
            self._say(self.line())


def lasting(seconds: float) -> str:
    """`40 s`, `2 min`, `1 h 20 min`."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def with_progress(work: "Callable[[Progress], Run]") -> "Run":
    """The result of the work, with its progress on the screen.

    Raises:
        Stopped: it was interrupted; says at which stage.
    """
    from sae_audit.pipeline.audit import STEPS

    reporter = Reporter(STEPS, rewritten=screen.out.is_terminal)
    try:
        return work(reporter)
    except KeyboardInterrupt:
        raise Stopped(reporter.place) from None
    finally:
        reporter.close()
