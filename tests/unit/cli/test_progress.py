"""Progress: one line on a terminal; in a log a line when a stage begins, every minute, when it ends."""

import inspect
import re
from collections.abc import Sequence

import pytest

from sae_audit.cli import progress, screen
from sae_audit.cli.faults import Stopped
from sae_audit.cli.progress import Reporter, lasting, with_progress
from sae_audit.findings.stages import (
    CLAIMS,
    LOADING,
    MINIMAL_SETS,
    REPORT,
    SCORES,
    STAGES,
    Step,
)
from sae_audit.pipeline import audit

STEPS = (SCORES, MINIMAL_SETS, REPORT)


class Clock:
    """Seconds that go by only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reporter(clock: Clock, *, rewritten: bool = False) -> Reporter:
    return Reporter(STEPS, rewritten=rewritten, clock=clock, every=1e6)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_log_has_a_line_when_a_stage_begins_and_one_when_it_ends(
    capsys: pytest.CaptureFixture[str],
):
    clock = Clock()
    own = reporter(clock)
    own(LOADING, 0, 1)
    own(SCORES, 0, 1)
    clock.now = 3.0
    own(SCORES, 1, 1)
    own(MINIMAL_SETS, 0, 40)
    clock.now = 123.0
    own(MINIMAL_SETS, 40, 40)
    own.close()
    assert printed(capsys) == [
        LOADING.label,
        f"[1/3] {SCORES.label}",
        f"[1/3] {SCORES.label}: done in 3 s",
        f"[2/3] {MINIMAL_SETS.label}",
        f"[2/3] {MINIMAL_SETS.label}: done in 2 min",
    ]


def test_a_long_stage_says_where_it_is_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]):
    clock = Clock()
    own = Reporter(STEPS, rewritten=False, clock=clock, every=60.0)
    own(MINIMAL_SETS, 0, 40)
    own.minute()
    clock.now = 60.0
    own(MINIMAL_SETS, 10, 40)
    own.minute()
    own.minute()
    own.close()
    assert printed(capsys) == [
        f"[2/3] {MINIMAL_SETS.label}",
        f"[2/3] {MINIMAL_SETS.label} 10/40, about 3 min left",
    ]


def test_the_minute_is_kept_by_a_thread_of_its_own(capsys: pytest.CaptureFixture[str]):
    own = Reporter(STEPS, rewritten=False, every=0.02)
    own(SCORES, 0, 1)
    for _ in range(200):
        if len(said := printed(capsys)) > 0 and said[-1] == f"[1/3] {SCORES.label}":
            break
        own._ended.wait(0.02)
    own._ended.wait(0.2)
    own.close()
    assert f"[1/3] {SCORES.label}" in printed(capsys), "said again, though no work was done"


def test_a_stage_that_only_begins_ends_when_the_next_one_begins(
    capsys: pytest.CaptureFixture[str],
):
    own = reporter(Clock())
    own(MINIMAL_SETS, 3, 40)
    own(REPORT, 0, 1)
    own.close()
    assert printed(capsys)[1] == f"[2/3] {MINIMAL_SETS.label}: done in 1 s"


def test_no_time_is_guessed_from_the_first_moments():
    clock = Clock()
    own = reporter(clock)
    own(MINIMAL_SETS, 1, 40)
    clock.now = 2.0
    assert own.line() == f"[2/3] {MINIMAL_SETS.label} 1/40"
    own.close()


def test_a_stage_in_one_piece_is_not_counted():
    own = reporter(Clock(), rewritten=True)
    own(SCORES, 0, 1)
    assert own.line() == f"[1/3] {SCORES.label}"
    own.close()


def test_an_interrupted_audit_says_at_which_stage():
    def interrupted(report: Reporter):
        report(MINIMAL_SETS, 3, 40)
        raise KeyboardInterrupt

    place = audit.STEPS.index(MINIMAL_SETS) + 1
    with pytest.raises(Stopped, match=rf"^stage {place} of {len(audit.STEPS)}$"):
        with_progress(interrupted)  # pyright: ignore[reportArgumentType]

    def at_once(report: Reporter):
        del report
        raise KeyboardInterrupt

    with pytest.raises(Stopped, match=r"^$"):
        with_progress(at_once)  # pyright: ignore[reportArgumentType]


def test_the_steps_are_those_of_the_audit_in_its_order():
    ran = [
        name
        for part in (audit.search_for_sets, audit.carry_out)
        for name in re.findall(r"(\w+)\.run\(state\)", inspect.getsource(part))
    ]
    order = [name for name in dict.fromkeys(ran) if name != "claims"]
    named = [getattr(audit, name).STAGE for name in order]
    assert (*named, CLAIMS, REPORT) == audit.STEPS
    assert set(STAGES) == set(audit.STEPS) - {REPORT}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59.2, "59 s"), (61.0, "1 min"), (3599.0, "1 h 0 min"), (4800.0, "1 h 20 min")],
)
def test_times_in_words(seconds: float, said: str):
    assert lasting(seconds) == said


def test_output_that_is_no_terminal_is_a_log(monkeypatch: pytest.MonkeyPatch):
    made: list[bool] = []

    class Seen(Reporter):
        def __init__(self, steps: Sequence[Step], *, rewritten: bool) -> None:
            made.append(rewritten)
            super().__init__(steps, rewritten=rewritten)

    monkeypatch.setattr(progress, "Reporter", Seen)
    with_progress(lambda _: None)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(type(screen.out), "is_terminal", property(lambda _: True))
    with_progress(lambda _: None)  # pyright: ignore[reportArgumentType]
    assert made == [False, True]
