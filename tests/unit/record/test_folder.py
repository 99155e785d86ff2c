"""The run folder through kills, strangers' files and two processes; no model is asked."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from sae_audit import load_run
from sae_audit.config import AuditConfig, PromptSettings
from sae_audit.errors import AuditError, AuditStoppedError
from sae_audit.findings.stages import OfRun, tensors_of
from sae_audit.record import folder as folders
from sae_audit.record import layout
from sae_audit.record.identity import RunIdentity
from sae_audit.record.lock import locked
from sae_audit.record.store import Spent, Store
from tests.synthetic.runs import IDENTITY, synthetic_run

CONFIG = AuditConfig(model="m", saes="s", prompts=PromptSettings(sources=("p",)))
NUMBERS = OfRun("numbers", "Numbers", (list[int],))
COST = Spent(forward_passes=1, tokens=1, seconds=0.1)
OTHER = RunIdentity(parts={"settings": {"seed": 1}, "version": "0.1.0"})


def begin(folder: Path, identity: RunIdentity = IDENTITY) -> None:
    """As an audit begins: reserved, checked, begun."""
    with folders.reserved(folder, overwrite=False) as place:
        folders.check_same(place, identity)
        folders.begin(place.making, CONFIG, identity, "command").close()


class TestBeginning:
    def test_its_own_is_welcome_and_another_is_not(self, tmp_path: Path):
        begin(tmp_path / "run")
        begin(tmp_path / "run")
        with pytest.raises(AuditError, match=r"holds an audit with other settings; .*--overwrite"):
            begin(tmp_path / "run", OTHER)

    def test_a_kill_at_any_point_of_it_leaves_a_new_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        class Killed(BaseException):
            pass

        left = [0]
        killed = 0

        def dying(owner: object, name: str) -> None:
            real = getattr(owner, name)

            def call(*arguments: object, **named: object) -> object:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return real(*arguments, **named)

            monkeypatch.setattr(owner, name, call)

        dying(Store, "_make_tables")
        dying(Store, "put_all")
        for name in ("fsync", "replace", "open"):
            dying(layout.os, name)
        for n in range(100):
            folder = tmp_path / str(n)
            left[0] = n
            try:
                begin(folder)
                break
            except Killed:
                killed += 1
            left[0] = 1000
            begin(folder, OTHER)
            with pytest.raises(AuditError, match="holds an audit with other"):
                begin(folder, IDENTITY)
        assert killed > 5

    def test_folders_made_for_nothing_go_again(self, tmp_path: Path):
        with folders.reserved(tmp_path / "a" / "b", overwrite=False) as place:
            assert place.making.is_dir()
        assert list(tmp_path.iterdir()) == []

    def test_foreign_files_are_never_touched(self, tmp_path: Path):
        (tmp_path / "thesis.txt").write_text("mine")
        for overwrite in (False, True):
            with (
                pytest.raises(AuditError, match=r"holds files that are no audit .thesis.txt"),
                folders.reserved(tmp_path, overwrite=overwrite),
            ):
                pass
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    @pytest.mark.parametrize("name", ["lost+found", ".gitkeep", ".index.html.tmp", "config.yaml"])
    def test_what_is_no_content_is_no_obstacle(self, tmp_path: Path, name: str):
        (tmp_path / name).write_text("")
        begin(tmp_path)

    def test_a_file_or_a_folder_in_the_way(self, tmp_path: Path):
        (tmp_path / "file").write_text("")
        with pytest.raises(AuditError, match="is no folder"):
            begin(tmp_path / "file")
        (tmp_path / "run" / "index.html").mkdir(parents=True)
        with pytest.raises(AuditError, match=r"index\.html is a folder"):
            begin(tmp_path / "run")
        (tmp_path / "broken").symlink_to("nowhere")
        with pytest.raises(AuditError):
            begin(tmp_path / "broken")

    @pytest.mark.parametrize(
        "name",
        [
            *("run.lock", "run.sqlite-journal", "run.sqlite-wal", ".findings.json.tmp"),
            *("tensors/means.safetensors", "tensors/.means.safetensors.tmp"),
            *(".new-run/run.sqlite", ".new-run/manifest.json"),
        ],
    )
    def test_a_folder_in_the_way_of_any_file(self, tmp_path: Path, name: str):
        """Told before hours of work, not when the file is written."""
        (tmp_path / name).mkdir(parents=True)
        with pytest.raises(AuditError, match="remove it"):
            begin(tmp_path)

    @pytest.mark.parametrize("name", ["run.lock", "run.sqlite-journal"])
    def test_a_pipe_or_a_link_in_the_way(self, tmp_path: Path, name: str):
        for folder, make in (("a", os.mkfifo), ("b", lambda at: at.symlink_to("/dev/null"))):
            (tmp_path / folder).mkdir()
            make(tmp_path / folder / name)
            with pytest.raises(AuditError, match="is no file"):
                begin(tmp_path / folder)

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_another_s_run_behind_a_link_is_neither_moved_nor_deleted(
        self, tmp_path: Path, overwrite: bool
    ):
        begin(tmp_path / "another")
        before = sorted(path.name for path in (tmp_path / "another").iterdir())
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / ".new-run").symlink_to("../another")
        with (
            pytest.raises(AuditError, match=r"\.new-run is a link"),
            folders.reserved(tmp_path / "run", overwrite=overwrite),
        ):
            pass
        assert sorted(path.name for path in (tmp_path / "another").iterdir()) == before

    def test_a_place_that_cannot_be_made(self):
        with pytest.raises(AuditError, match="cannot be"):
            begin(Path("/proc/none/run"))


class TestLock:
    def test_one_process_at_a_time_named_by_its_id(self, tmp_path: Path):
        with locked(tmp_path):
            with pytest.raises(AuditError, match=str(os.getpid())), locked(tmp_path):
                pass
            assert (tmp_path / "run.lock").exists()
        assert not (tmp_path / "run.lock").exists()

    def test_a_dead_process_holds_nothing(self, tmp_path: Path):
        (tmp_path / "run.lock").write_text("12345")
        with locked(tmp_path):
            pass


class TestWriting:
    def test_a_link_is_replaced_and_its_target_left_alone(self, tmp_path: Path):
        (tmp_path / "mine").write_text("mine")
        (tmp_path / "index.html").symlink_to("mine")
        (tmp_path / ".index.html.tmp").symlink_to("mine")
        layout.write_file(tmp_path / "index.html", b"page")
        assert (tmp_path / "mine").read_text() == "mine"
        assert not (tmp_path / "index.html").is_symlink()
        assert (tmp_path / "index.html").read_bytes() == b"page"

    def test_a_full_disk_leaves_the_file_that_was_there_and_no_half_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        layout.write_file(tmp_path / "index.html", b"page")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(AuditStoppedError, match="No space is left"):
            layout.write_file(tmp_path / "index.html", b"another")
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"page"]

    def test_a_store_on_a_full_disk(self, tmp_path: Path):
        """sqlite's own error, from a file that may not grow."""
        store = Store(tmp_path / "run.sqlite")
        store.set_fact("identity", "x")
        store._connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(AuditStoppedError, match="No space is left"):
            store.set_facts({str(i): "x" * 3000 for i in range(10)})
        assert store.facts() == {"identity": "x"}

    def test_rows_are_never_replaced(self, tmp_path: Path):
        import sqlite3

        store = Store(tmp_path / "run.sqlite")
        store.put(NUMBERS, "key", [1], COST)
        with pytest.raises((AuditStoppedError, sqlite3.IntegrityError)):
            store.put(NUMBERS, "key", [2], COST)
        assert store.get(NUMBERS, "key") == [1]

    def test_numbers_that_are_not_finite_are_not_recorded(self, tmp_path: Path):
        store = Store(tmp_path / "run.sqlite")
        with pytest.raises(AuditError, match="not finite; load the model with --dtype float32"):
            store.put(OfRun("s", "S", (list[float],)), "k", [float("nan")], COST)


class TestSwapping:
    def test_killed_anywhere_it_goes_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """Until then the folder is the old run, the new one, or refused in a sentence."""

        class Killed(BaseException):
            pass

        old = synthetic_run(tmp_path / "old", facts={"model": "old"}).folder
        new = synthetic_run(tmp_path / "new", facts={"model": "new"}, seed=1).folder
        (old / "thesis.tex").write_text("mine")
        tensors = tensors_of(load_run(new).recorded.rows)
        real, n_killed, seen = os.replace, 0, set[str]()
        for n in range(10):
            folder = shutil.copytree(old, tmp_path / f"{n}")
            shutil.copytree(new, folder / ".new-run")
            left = [n]

            def dying(source: Path, target: Path, left: list[int] = left) -> None:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                real(source, target)

            with monkeypatch.context() as patch:
                patch.setattr(layout.os, "replace", dying)
                try:
                    layout.swap_in(folder / ".new-run", folder, tensors=tensors)
                except Killed:
                    n_killed += 1
            try:
                seen.add(load_run(folder).manifest.model.id)
            except AuditError as error:
                seen.add(str(error).partition(",")[0].partition(" holds ")[2])
            layout.swap_in(folder / ".new-run", folder, tensors=tensors)
            assert load_run(folder).manifest.model.id == "new"
            assert (folder / "thesis.tex").read_text() == "mine"
            assert not (folder / ".new-run").exists()
        assert n_killed > 6
        assert {"old", "new"} <= seen

    def test_discarding_leaves_what_is_not_a_runs(self, tmp_path: Path):
        folder = synthetic_run(tmp_path / "run").folder
        (folder / "tensors" / "mine.txt").write_text("mine")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        layout.discard(folder)
        assert [path.name for path in folder.rglob("*")] == ["tensors", "mine.txt"]


def test_finished_is_a_fact_and_all_files_there(tmp_path: Path):
    folder = synthetic_run(tmp_path / "run").folder
    assert not folders.is_finished(folder), "no page yet"
    (folder / "index.html").write_text("page")
    assert folders.is_finished(folder)
    store = Store(folder / "run.sqlite")
    store._connection.execute("DELETE FROM facts WHERE name = 'finished'")
    store.close()
    assert not folders.is_finished(folder)
    with pytest.raises(AuditError, match="not finished"):
        load_run(folder)


def test_a_stranger_s_config_is_not_trusted(tmp_path: Path):
    """Whether a checkpoint's code runs is said on the command line, never by a file."""
    trusting = CONFIG.model_copy(update={"trust_remote_code": True})
    folders.write_config(trusting, tmp_path / "config.yaml")
    assert "trust_remote_code" not in (tmp_path / "config.yaml").read_text()
