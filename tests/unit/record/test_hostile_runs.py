"""A run folder that somebody else made opens for reading alone, or is refused in one sentence."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from sae_audit import load_run
from sae_audit.cli import reporting
from sae_audit.comparison import compare
from sae_audit.comparison.page import write_comparison
from sae_audit.errors import AuditError
from tests.synthetic.runs import synthetic_run
from tests.unit.record.hostile import CHANGES, HARMLESS, edited

_SECONDS = 30


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run(tmp_path_factory.mktemp("good") / "run").folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "run")


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A pipe that is read, or a view without end, would hang the whole suite."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


# Of every kind some always, all of them in CI.
EACH = [
    name if i % 4 == 0 else pytest.param(name, marks=pytest.mark.slow)
    for i, name in enumerate(CHANGES)
]


@pytest.mark.parametrize("name", EACH)
def test_a_bad_folder_is_one_sentence(folder: Path, name: str):
    CHANGES[name](folder)
    before = everything(folder)
    with pytest.raises(AuditError) as refused:
        reporting.report(folder)
    sentence = str(refused.value)
    assert len(sentence) < 600
    assert sentence.isprintable()
    assert everything(folder) == before, "nothing was written"


def test_a_good_folder_opens(folder: Path):
    reporting.report(folder)
    assert compare(folder, load_run(folder)).verdicts


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_odd_and_no_harm_opens(folder: Path, name: str):
    mine = folder.parent / "mine.html"
    mine.write_text("mine")
    HARMLESS[name](folder)
    before = everything(folder)
    reporting.report(folder)
    page = (folder / "index.html").read_text()
    assert mine.read_text() == "mine"
    assert not (folder / "index.html").is_symlink()
    assert {**everything(folder), "index.html": b""} == {**before, "index.html": b""}
    for sent in ("a\u202eb", "\x1b[2J", "[2J<b>", "<script>x"):
        assert sent not in page


def test_names_from_a_record_are_shown_and_not_sent(folder: Path):
    HARMLESS["a right-to-left mark in a model's name"](folder)
    assert load_run(folder).manifest.model.id == "a\\u202eb\\x1b[2J<b>"


def test_a_comparison_refuses_either(good: Path, folder: Path):
    CHANGES["minimal_sets: of other prompts"](folder)
    for pair in ((good, folder), (folder, good)):
        with pytest.raises(AuditError, match="does not fit together"):
            compare(*pair)


def test_folders_of_any_name_open_and_are_shown(good: Path, tmp_path: Path):
    for name in ("b\udcff", "c\x1b[2J"):
        named = shutil.copytree(good, tmp_path / name)
        reporting.report(named)
        page = write_comparison(compare(good, named), tmp_path / f"compared {name}")
        assert not set(page.read_text()) & set("\x1b\udcff")


@pytest.mark.parametrize("name", ["x" * 300, "/dev/null/x"])
def test_no_place_for_a_comparison(good: Path, tmp_path: Path, name: str):
    with pytest.raises(AuditError, match=r"cannot be written|holds something else"):
        write_comparison(compare(good, good), tmp_path / name)


def test_a_table_of_what_does_not_fit_is_one_sentence(folder: Path):
    """Where neither page nor counts use it."""

    def without_a_class(activated: dict[str, Any]) -> dict[str, Any]:
        activated["clean_fires_at"].pop("system")
        return activated

    edited("activation_tokens", without_a_class)(folder)
    with pytest.raises(AuditError, match="does not fit together"):
        load_run(folder).table("activation_tokens")
