"""Every failure of a command ends in one sentence and an exit code."""

import atexit
import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from sae_audit import cli
from sae_audit.cli import commands
from sae_audit.cli.faults import Stopped
from sae_audit.cli.screen import _Console
from sae_audit.errors import (
    AuditError,
    AuditIncompleteError,
    FaultInsideError,
    InterruptedDownloadError,
)

End = Callable[..., tuple[int, str]]
STOPS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> End:
    """The exit code and the complaint of a command that raises what it is given."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def ended(error: BaseException | None) -> tuple[int, str]:
        app = typer.Typer(pretty_exceptions_enable=False)

        @app.command()
        def fail() -> None:
            if error is None:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)  # cut short by the signal
            else:
                raise error

        before = {sent: signal.getsignal(sent) for sent in STOPS}
        monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
        monkeypatch.setattr(atexit, "register", lambda _: None)
        monkeypatch.setattr(commands, "app", app)
        monkeypatch.setattr(sys, "argv", ["sae-audit"])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        for sent, handler in before.items():
            signal.signal(sent, handler)
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, capfd.readouterr().err

    return ended


def caused(error: Exception) -> FaultInsideError:
    """As an audit wraps what fails inside it."""
    try:
        try:
            raise error
        except Exception as inner:
            raise FaultInsideError("wrapped") from inner
    except FaultInsideError as made:
        return made


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (AuditError("No model m; name one."), 2, "error: No model m; name one."),
        (AuditError("\x1b]52;c;x\x07 [red]"), 2, "\\x1b]52;c;x\\x07 [red]"),
        (AuditIncompleteError("The folder went away."), 3, "went away. Run the same command again"),
        (InterruptedDownloadError("It broke off."), 3, "It broke off. Run the same command again"),
        (KeyboardInterrupt(), 130, "Stopped. Run the same command again to go on."),
        (Stopped(""), 130, "Stopped. Run the same command again to go on."),
        (
            Stopped("stage 6 of 21"),
            130,
            "Stopped at stage 6 of 21. Run the same command again to go on.",
        ),
        (OSError(errno.ENOSPC, "No space left"), 3, "The disk is full"),
        (SafetensorError("I/O error: No space left (os error 28)"), 3, "The disk is full"),
        (FileNotFoundError(2, "No usable temporary directory found in [.]"), 2, "set TMPDIR"),
        (caused(OSError(errno.ENOSPC, "No space left")), 3, "The disk is full"),
        (caused(MemoryError()), 3, "with fewer layers it is another audit"),
        (BrokenPipeError(), 0, ""),
        (caused(BrokenPipeError("of a process of ours")), 3, "fault of sae-audit (BrokenPipeError"),
    ],
)
def test_each_kind_of_failure_is_one_sentence(end: End, error: Exception, code: int, said: str):
    found, complaint = end(error)
    assert found == code
    assert said in complaint
    assert "Traceback" not in complaint
    assert complaint.count("\n") <= 1


def test_a_scheduler_that_takes_the_machine_back_ends_as_ctrl_c_does(end: End):
    code, complaint = end(None)
    assert code == 130
    assert complaint == "Stopped. Run the same command again to go on.\n"


@pytest.mark.parametrize("wrap", [lambda error: error, caused])
def test_a_fault_of_ours_leaves_its_traceback_in_a_file(end: End, tmp_path: Path, wrap: Callable):
    code, complaint = end(wrap(AssertionError("layers: 3, 4")))
    (file,) = tmp_path.glob("sae-audit-fault-*.txt")
    assert code == 3
    assert complaint.count("\n") == 1
    assert "fault of sae-audit (AssertionError: layers: 3, 4)" in complaint
    assert str(file) in complaint
    text = file.read_text()
    assert "Traceback" in text
    assert "AssertionError: layers: 3, 4" in text
    assert "torch" in text


def test_a_traceback_that_cannot_be_written_is_no_second_fault(
    end: End, monkeypatch: pytest.MonkeyPatch
):
    def full(**_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr("tempfile.mkstemp", full)
    code, complaint = end(AssertionError("layers: 3, 4"))
    assert code == 3
    assert complaint.count("\n") == 1
    assert "(AssertionError: layers: 3, 4)" in complaint
    assert "could not be written: set TMPDIR" in complaint


@pytest.mark.parametrize("sent", STOPS)
def test_told_to_stop_while_the_libraries_load(sent: signal.Signals):
    """At the first import of the commands' own."""
    stopped = (
        "import os, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'typer': os.kill(os.getpid(), {int(sent)})\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from sae_audit.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", stopped, "catalog"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "Stopped. Run the same command again to go on.\n"


def ended_by(program: str, *, deaf_to_ctrl_c: bool = False) -> tuple[int, str]:
    """Exit code and complaints of `sae-audit` whose commands are this program; deaf as a script starts
    it with `&`."""
    script = (
        "import os, signal, sys, time, types\n"
        "from sae_audit.cli import main\n"
        f"def command():\n{textwrap.indent(textwrap.dedent(program), '    ')}\n"
        "commands = types.ModuleType('sae_audit.cli.commands')\n"
        "commands.main = command\n"
        "sys.modules['sae_audit.cli.commands'] = commands\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script]
    if deaf_to_ctrl_c:
        command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("sent", STOPS)
@pytest.mark.parametrize("code", [0, 2, 3])
def test_told_to_stop_after_its_end_a_command_ends_as_it_would_have(
    sent: signal.Signals, code: int
):
    # Modules are cleared away after Python has given its handlers up.
    program = f"""
        class Last:
            def __del__(self, kill=os.kill, me=os.getpid()):
                kill(me, {int(sent)})
        sys.last = Last()
        sys.exit({code})
    """
    assert ended_by(program) == (code, "")


@pytest.mark.parametrize("sent", STOPS)
def test_told_to_stop_a_command_that_is_done_waits_for_no_thread(sent: signal.Signals):
    program = f"""
        import threading
        threading.Thread(target=time.sleep, args=[50]).start()
        threading.Timer(0.5, os.kill, [os.getpid(), {int(sent)}]).start()
        sys.exit(2)
    """
    start = time.monotonic()
    assert ended_by(program) == (2, "")
    assert time.monotonic() - start < 40


@pytest.mark.parametrize("sent", STOPS)
def test_told_to_stop_while_an_object_is_cleared_away(sent: signal.Signals):
    program = f"""
        class Cleared:
            def __del__(self):
                os.kill(os.getpid(), {int(sent)})
                time.sleep(5)
        Cleared()
        time.sleep(50)
    """
    start = time.monotonic()
    code, said = ended_by(program)
    assert time.monotonic() - start < 40, "what it waits for is interrupted"
    assert code == 130
    assert said == "Stopped. Run the same command again to go on.\n"


def test_a_command_that_ignores_ctrl_c_is_stopped_by_a_scheduler_wherever_it_is():
    program = """
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        class Cleared:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
        Cleared()
        time.sleep(50)
    """
    start = time.monotonic()
    code, said = ended_by(program, deaf_to_ctrl_c=True)
    assert time.monotonic() - start < 40, "what it waits for is interrupted"
    assert code == 130
    assert said == "Stopped. Run the same command again to go on.\n"


def test_work_goes_on_when_nobody_reads_the_screen():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        screen = _Console(file=stream)
        screen.print("Loading model, SAEs and prompts ...")
        screen.print("a table")


@pytest.mark.parametrize("columns", ["0", "", "1", "wide"])
def test_something_is_shown_in_any_width(columns: str):
    code = "from sae_audit.cli import screen; screen.line('all that there is')"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "COLUMNS": columns},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "all that there is" in shown.stdout.replace("\n", " ")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
@given(said=st.text(st.characters()))
def test_no_text_of_a_stranger_reaches_the_terminal_as_an_order(end: End, said: str):
    code, complaint = end(AuditError(said))
    assert code == 2
    assert not set(complaint) & set("\x1b\x07\x08\r\x9b\u202e\u2066")
