"""The glossary says what the docstrings say; two records with one number changed are told apart."""

import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sae_audit.bundled import resolve
from scripts import glossary, same_numbers
from scripts.rotated_saes import rotate

_SAMPLE = Path(__file__).parents[2] / "reports" / "sample-organism"


def test_the_glossary_is_that_of_the_docstrings():
    """If it is not: `uv run python -m scripts.glossary`."""
    assert glossary.PAGE.read_text() == glossary.page()


def compared(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["same_numbers", str(old), str(new), *options])
    return same_numbers.main()


def changed(folder: Path, statement: str) -> Path:
    """A copy of the sample's record with one statement carried out on it."""
    folder.mkdir()
    shutil.copy(_SAMPLE / "run.sqlite", folder)
    with sqlite3.connect(folder / "run.sqlite") as connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()
    return folder


def test_a_record_holds_its_own_numbers(monkeypatch: pytest.MonkeyPatch):
    assert compared(_SAMPLE, _SAMPLE, monkeypatch) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET payload = replace(payload, ': 40', ': 41') WHERE stage = 'controls'",
        "DELETE FROM records WHERE stage = 'cascades' AND rowid % 7 = 0",
    ],
)
def test_a_number_changed_or_a_row_gone_is_told(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    new = changed(tmp_path / "run", statement)
    assert compared(_SAMPLE, new, monkeypatch) == 1


def test_costs_are_not_compared_and_names_of_stages_may_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    new = changed(tmp_path / "run", "UPDATE records SET forward_passes = forward_passes + 1")
    assert compared(_SAMPLE, new, monkeypatch) == 0
    renamed = changed(tmp_path / "other", "UPDATE records SET stage = 'x' WHERE stage = 'edges'")
    assert compared(_SAMPLE, renamed, monkeypatch) == 1
    assert compared(_SAMPLE, renamed, monkeypatch, "--renamed", "edges=x") == 0


def test_saes_are_rotated_whole_and_nothing_else_changes(tmp_path: Path):
    """Angles within a dictionary stay, so norms do; the angles with the model's own axes go."""
    before = Path(resolve("bundled:organism/saes"))
    assert rotate(before, tmp_path / "rotated", seed=0) == 8
    for path in sorted(before.rglob("sae_weights.safetensors"))[:2]:
        own = load_file(path)
        turned = load_file(tmp_path / "rotated" / path.relative_to(before))
        assert own.keys() == turned.keys()
        torch.testing.assert_close(
            turned["W_dec"] @ turned["W_dec"].T, own["W_dec"] @ own["W_dec"].T, atol=1e-3, rtol=0
        )
        assert (turned["W_dec"] - own["W_dec"]).abs().max() > 0.1
        assert torch.equal(turned["b_dec"], own["b_dec"])
