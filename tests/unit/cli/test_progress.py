"""Progress: one line on a terminal; in a log a line for each stage, and more for those that last."""

import inspect
import re
from collections.abc import Sequence

import pytest

from sae_audit.cli import progress, screen
from sae_audit.cli.faults import Stopped
from sae_audit.cli.progress import Reporter, lasting, with_progress
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings.stages import (
    ABSENCE,
    CLAIMS,
    CONFIRMATION,
    LOADING,
    MINIMAL_SETS,
    OWN_FLIPS_IN_TEXT,
    REPORT,
    SCORES,
    STAGES,
    TEXT_SETS,
    Step,
)
from sae_audit.pipeline import audit
from sae_audit.pipeline.steps import steps_of

STEPS = (SCORES, MINIMAL_SETS, REPORT)
CONFIG = AuditConfig(model="m", saes="s", prompts={"sources": ["p.jsonl"]}, confirm="score")  # pyright: ignore[reportArgumentType]


class Clock:
    """Seconds that go by only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reporter(clock: Clock, *, rewritten: bool = False) -> Reporter:
    """Looked at only by the test: the clock stands still for the thread that would."""
    return Reporter(STEPS, rewritten=rewritten, clock=clock, brief=5.0, every=60.0)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    said = capsys.readouterr()
    assert not said.out, "stdout is for results"
    return said.err.splitlines()


def test_a_log_has_one_line_of_a_brief_stage_when_it_ends(capsys: pytest.CaptureFixture[str]):
    clock = Clock()
    own = reporter(clock)
    own(LOADING, 0, 1)
    clock.now = 4.0
    own.look()
    own(SCORES, 0, 1)
    clock.now = 7.0
    own(SCORES, 1, 1)
    own(REPORT, 0, 1)
    own(REPORT, 1, 1)
    own.finish()
    own.close()
    assert printed(capsys) == [
        f"{LOADING.label}: done in 4 s",
        f"[1/3] {SCORES.label}: done in 3 s",
        f"[3/3] {REPORT.label}: done in 1 s",
    ]


def test_a_long_stage_says_that_it_began_where_it_is_and_how_long_it_took(
    capsys: pytest.CaptureFixture[str],
):
    clock = Clock()
    own = reporter(clock)
    own(MINIMAL_SETS, 0, 40)
    for clock.now in (4.0, 5.0, 6.0, 64.0):
        own.look()
    own(MINIMAL_SETS, 10, 40)
    for clock.now in (66.0, 67.0, 125.0):
        own.look()
    own(MINIMAL_SETS, 40, 40)
    own.finish()
    own.close()
    assert printed(capsys) == [
        f"[2/3] {MINIMAL_SETS.label}",
        f"[2/3] {MINIMAL_SETS.label} 10/40, about 3 min left",
        f"[2/3] {MINIMAL_SETS.label}: done in 2 min",
    ]


def test_a_thread_of_its_own_looks_at_the_clock(capsys: pytest.CaptureFixture[str]):
    own = Reporter(STEPS, rewritten=False, brief=0.02, every=0.02)
    own(MINIMAL_SETS, 3, 40)
    said: list[str] = []
    for _ in range(200):
        said += printed(capsys)
        if len(said) > 1:
            break
        own._ended.wait(0.02)
    own.close()
    assert said[:2] == [f"[2/3] {MINIMAL_SETS.label}", f"[2/3] {MINIMAL_SETS.label} 3/40"]


def test_what_a_stage_does_after_its_last_piece_of_work_is_its_own(
    capsys: pytest.CaptureFixture[str],
):
    clock = Clock()
    own = reporter(clock)
    own(MINIMAL_SETS, 40, 40)
    clock.now = 3.0
    own(MINIMAL_SETS, 40, 40)
    own(REPORT, 0, 1)
    own.close()
    assert printed(capsys) == [f"[2/3] {MINIMAL_SETS.label}: done in 3 s"]


def test_a_step_that_is_not_planned_has_no_number(capsys: pytest.CaptureFixture[str]):
    own = reporter(Clock())
    own(ABSENCE, 0, 1)
    own.finish()
    own.close()
    assert printed(capsys) == [f"{ABSENCE.label}: done in 1 s"]


def test_a_stopped_audit_does_not_say_that_its_stage_is_done(capsys: pytest.CaptureFixture[str]):
    def stopped(report: Reporter):
        report(SCORES, 0, 1)
        raise AuditError("no room")

    with pytest.raises(AuditError):
        with_progress(CONFIG, stopped)  # pyright: ignore[reportArgumentType]
    assert printed(capsys) == []


def test_no_time_is_guessed_from_the_first_moments():
    clock = Clock()
    own = reporter(clock)
    own(MINIMAL_SETS, 1, 40)
    clock.now = 2.0
    assert own.line() == f"[2/3] {MINIMAL_SETS.label} 1/40"
    own.close()


def test_a_stage_in_one_piece_is_not_counted(capsys: pytest.CaptureFixture[str]):
    own = reporter(Clock(), rewritten=True)
    own(LOADING, 0, 1)
    own(SCORES, 0, 1)
    assert own.line() == f"[1/3] {SCORES.label}"
    own.close()
    assert printed(capsys)[0] == LOADING.label


def test_an_interrupted_audit_says_at_which_stage():
    def interrupted(report: Reporter):
        report(MINIMAL_SETS, 3, 40)
        raise KeyboardInterrupt

    steps = steps_of(CONFIG)
    place = steps.index(MINIMAL_SETS) + 1
    with pytest.raises(Stopped, match=rf"^stage {place} of {len(steps)}$"):
        with_progress(CONFIG, interrupted)  # pyright: ignore[reportArgumentType]

    def at_once(report: Reporter):
        del report
        raise KeyboardInterrupt

    with pytest.raises(Stopped, match=r"^$"):
        with_progress(CONFIG, at_once)  # pyright: ignore[reportArgumentType]


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


def test_only_steps_that_the_settings_ask_for_are_numbered():
    steps = steps_of(CONFIG)
    left_out = set(audit.STEPS) - set(steps)
    assert {ABSENCE, CONFIRMATION, TEXT_SETS} <= left_out
    assert {SCORES, MINIMAL_SETS, CLAIMS, REPORT} <= set(steps)
    assert list(steps) == [step for step in audit.STEPS if step in steps]
    in_text = CONFIG.model_copy(update={"confirm": "text"})
    assert set(steps_of(in_text)) - set(steps) == {CONFIRMATION, OWN_FLIPS_IN_TEXT}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59.2, "59 s"), (61.0, "1 min"), (3599.0, "1 h 0 min"), (4800.0, "1 h 20 min")],
)
def test_times_in_words(seconds: float, said: str):
    assert lasting(seconds) == said


def test_stderr_that_is_no_terminal_is_a_log(monkeypatch: pytest.MonkeyPatch):
    made: list[bool] = []

    class Seen(Reporter):
        def __init__(self, steps: Sequence[Step], *, rewritten: bool) -> None:
            made.append(rewritten)
            super().__init__(steps, rewritten=rewritten)

    monkeypatch.setattr(progress, "Reporter", Seen)
    with_progress(CONFIG, lambda _: None)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(type(screen.err), "is_terminal", property(lambda _: True))
    with_progress(CONFIG, lambda _: None)  # pyright: ignore[reportArgumentType]
    assert made == [False, True]
