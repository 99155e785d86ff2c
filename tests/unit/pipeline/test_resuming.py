"""What stops an audit leaves a run that goes on, and never goes on with something else."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sae_audit import audit, load_run
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError, AuditStoppedError
from sae_audit.findings.stages import Step
from sae_audit.pipeline import running
from sae_audit.pipeline.identity import identity_of
from sae_audit.pipeline.inputs import load_inputs
from sae_audit.pipeline.running import default_folder
from sae_audit.pipeline.session import TOKENS_PER_BATCH
from sae_audit.pipeline.stages import confirmation
from sae_audit.record.lock import locked
from sae_audit.record.store import Store
from sae_audit.subject import SubstringJudge
from sae_audit.subject.model.budget import Budget
from tests.unit.pipeline.conftest import Undisturbed

pytestmark = pytest.mark.usefixtures("several_groups")


def at(stage: str, act: Callable[[], Any]) -> Callable[[Step, int, int], None]:
    """Progress that acts when this stage begins."""

    def progress(step: Step, done: int, _total: int) -> None:
        if step.name == stage and done == 0:
            act()

    return progress


def interrupt() -> None:
    raise KeyboardInterrupt


def begun(config: AuditConfig, folder: Path, *, until: str = "candidates", **options: Any) -> None:
    """A run that was interrupted when this stage began."""
    with pytest.raises(KeyboardInterrupt):
        audit(config, folder, progress=at(until, interrupt), **options)


def rows(folder: Path) -> list[str]:
    store = Store(folder / "run.sqlite")
    found = [one.stage for one in store.costs()]
    store.close()
    return found


def test_an_interrupt_leaves_rows_and_no_lock(config: AuditConfig, tmp_path: Path):
    begun(config, tmp_path / "run")
    assert rows(tmp_path / "run") == ["scores", "behaviour", "sae_quality", "direction"]
    assert not (tmp_path / "run" / "run.lock").exists()
    with pytest.raises(AuditError, match="not finished"):
        load_run(tmp_path / "run")


def test_a_late_error_of_the_user_deletes_nothing(
    config: AuditConfig,
    undisturbed: Undisturbed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """A judge that answers something unexpected, at the last stage."""
    folder = shutil.copytree(undisturbed.folder, tmp_path / "run")
    store = Store(folder / "run.sqlite")
    store._connection.execute("DELETE FROM records WHERE stage = 'confirmation'")
    store._connection.execute("DELETE FROM facts WHERE name = 'finished'")
    store.close()

    def answers_oddly(*_: object) -> None:
        raise AuditError("The judge answered 'hm'.")

    with monkeypatch.context() as patch:
        patch.setattr(confirmation, "checked", answers_oddly)
        before = rows(folder)
        with pytest.raises(AuditError, match="answered 'hm'"):
            audit(config, folder)
        assert rows(folder) == before
    audit(config, folder)
    assert (folder / "findings.json").read_bytes() == undisturbed.findings


def test_bad_input_leaves_nothing(config: AuditConfig, tmp_path: Path):
    wrong = config.model_copy(update={"saes": str(tmp_path / "none")})
    with pytest.raises(AuditError):
        audit(wrong, tmp_path / "new" / "run")
    assert list(tmp_path.iterdir()) == []


class TestOverwrite:
    def test_the_old_run_stays_whole_until_the_new_one_is(
        self, config: AuditConfig, undisturbed: Undisturbed, tmp_path: Path
    ):
        """Through a link, as a mount point would be; killed once on the way."""
        shutil.copytree(undisturbed.folder, tmp_path / "real")
        (tmp_path / "run").symlink_to("real")
        folder = tmp_path / "run"
        (folder / "thesis.tex").write_text("mine")
        (folder / "tensors" / "notes.txt").write_text("mine")
        new = config.model_copy(update={"seed": 1})
        begun(new, folder, until="flip_scales", overwrite=True)
        assert load_run(folder).config.seed == 0
        assert (folder / "findings.json").read_bytes() == undisturbed.findings
        n_before = len(rows(folder / ".new-run"))
        assert n_before > 5
        resumed: list[str] = []
        audit(new, folder, overwrite=True, progress=lambda stage, *_: resumed.append(stage.name))
        assert load_run(folder).config.seed == 1
        assert (tmp_path / "run").is_symlink()
        assert (folder / "thesis.tex").read_text() == "mine"
        assert (folder / "tensors" / "notes.txt").read_text() == "mine"
        assert not (folder / ".new-run").exists()
        assert "direction" not in resumed, "what was recorded before the kill was not done again"

    def test_other_settings_begin_anew(
        self, config: AuditConfig, undisturbed: Undisturbed, tmp_path: Path
    ):
        folder = shutil.copytree(undisturbed.folder, tmp_path / "run")
        begun(config.model_copy(update={"seed": 1}), folder, overwrite=True)
        begun(config.model_copy(update={"seed": 2}), folder, overwrite=True, until="sae_quality")
        assert rows(folder / ".new-run") == ["scores", "behaviour"]
        assert load_run(folder).config.seed == 0

    def test_where_there_was_nothing_it_goes_on_without_the_flag(
        self, config: AuditConfig, tmp_path: Path
    ):
        begun(config, tmp_path / "run", overwrite=True)
        begun(config, tmp_path / "run", until="widening")
        assert rows(tmp_path / "run" / ".new-run")[-1] == "candidates"


class TestIdentity:
    """A file that was edited between kill and resume is noticed, and named."""

    @pytest.fixture
    def own(self, config: AuditConfig, tmp_path: Path) -> AuditConfig:
        """The same audit of a copy of its files."""
        planted = Path(config.model).parent
        copy = shutil.copytree(planted, tmp_path / "planted")
        text = config.model_dump_json().replace(str(planted), str(copy))
        template = tmp_path / "chat.jinja"
        template.write_text((copy / "model" / "chat_template.jinja").read_text())
        return AuditConfig.model_validate_json(text).model_copy(
            update={"chat_template": str(template)}
        )

    @pytest.mark.parametrize(
        ("file", "old", "new", "named"),
        [
            ("planted/prompts.jsonl", "}\n", "} \n", "prompts"),
            ("planted/saes/layer_*/cfg.json", "{", '{"note": 1, ', "SAE configs"),
            ("chat.jinja", "{{", "{# note #}{{", "chat template file"),
        ],
    )
    def test_of_files(
        self, own: AuditConfig, tmp_path: Path, file: str, old: str, new: str, named: str
    ):
        begun(own, tmp_path / "run", until="sae_quality")
        path = next(tmp_path.glob(file))
        path.write_text(path.read_text().replace(old, new, 1))
        with pytest.raises(AuditError, match=f"holds an audit with other {named};"):
            audit(own, tmp_path / "run")

    def test_of_settings(self, config: AuditConfig, tmp_path: Path):
        begun(config, tmp_path / "run", until="sae_quality")
        other = config.model_copy(update={"seed": 3, "clamp": -1.0})
        with pytest.raises(AuditError, match=r"other settings \(.*seed.*clamp"):
            audit(other, tmp_path / "run")

    def test_of_a_judge(self, config: AuditConfig):
        """Its hash covers weights, small files and template (`judge_sha256`)."""
        opened, found = load_inputs(config), set[str]()
        for sha256 in ("a", "b"):
            judge = SubstringJudge()
            judge.sha256 = sha256
            found.add(identity_of(replace(opened, judge=judge)).sha256)
        assert len(found) == 2


class TestTheMachine:
    def test_a_folder_that_is_removed_ends_the_audit_at_the_next_stage(
        self, config: AuditConfig, tmp_path: Path
    ):
        folder = tmp_path / "run"
        with pytest.raises(AuditStoppedError, match="was removed or replaced"):
            audit(config, folder, progress=at("sae_quality", lambda: shutil.rmtree(folder)))

    def test_a_full_disk_is_a_sentence_and_the_run_goes_on(
        self,
        config: AuditConfig,
        undisturbed: Undisturbed,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        """Full when the page is written: the run is not finished, and its page is not half."""
        folder = shutil.copytree(undisturbed.folder, tmp_path / "run")
        (folder / "index.html").unlink()
        real = os.fsync

        def full(descriptor: int) -> None:
            if Path(f"/proc/self/fd/{descriptor}").readlink().name == ".index.html.tmp":
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(AuditStoppedError, match="No space is left"):
                audit(config, folder)
        assert not (folder / "index.html").exists()
        audit(config, folder)
        assert (folder / "index.html").read_text().endswith("</html>")
        assert (folder / "findings.json").read_bytes() == undisturbed.findings

    def test_a_second_process_is_told_before_a_model_is_loaded(
        self, config: AuditConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        folder = tmp_path / "run"
        folder.mkdir()
        monkeypatch.setattr(running, "load_inputs", lambda _: pytest.fail("loaded"))
        with (
            locked(folder),
            pytest.raises(AuditError, match=f"process .{os.getpid()}. is auditing"),
        ):
            audit(config, folder)

    def test_a_resumed_run_makes_batches_of_the_same_size(
        self, config: AuditConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("sae_audit.subject.model.budget._free_bytes", lambda _: 1 << 19)
        begun(config, tmp_path / "run", until="sae_quality")
        store = Store(tmp_path / "run" / "run.sqlite")
        recorded = store.fact(TOKENS_PER_BATCH)
        store.close()
        assert recorded is not None
        seen: list[int] = []
        real = Budget.of

        def noted(model: Any, asked: int | None) -> Budget:
            seen.append(real(model, asked).tokens)
            return real(model, asked)

        monkeypatch.setattr("sae_audit.subject.model.budget._free_bytes", lambda _: 1 << 40)
        monkeypatch.setattr(Budget, "of", noted)
        begun(config, tmp_path / "run", until="sae_quality")
        assert seen == [int(recorded)]
        begun(config, tmp_path / "other", until="sae_quality")
        assert seen[1] != seen[0]


@pytest.mark.parametrize(
    "name",
    ["../../escaped", "/tmp/x", ".", "..", "a/b", "a\\b", "x" * 101, "a\x1b[2Jb", "a\u202eb"],
)
def test_a_name_is_a_name(config: AuditConfig, name: str):
    with pytest.raises(AuditError, match="cannot be that of a folder") as refused:
        default_folder(config.model_copy(update={"name": name}))
    assert str(refused.value).isprintable()


def test_names_of_models_are_folders_in_reports(config: AuditConfig):
    assert default_folder(config.model_copy(update={"name": "tiny 2b"})) == Path("reports/tiny 2b")
    named = config.model_copy(update={"name": None, "model": "org/gemma-2-2b-it@main"})
    assert default_folder(named) == Path("reports/gemma-2-2b-it")


def test_a_model_named_by_dots_is_called_what_its_folder_is(
    config: AuditConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "my-model"
    (folder / "saes").mkdir(parents=True)
    monkeypatch.chdir(folder)
    for model in (".", "saes/..", "./", str(folder)):
        named = config.model_copy(update={"name": None, "model": model})
        assert default_folder(named) == Path("reports/my-model")
