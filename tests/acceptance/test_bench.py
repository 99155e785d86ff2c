"""The bench as a command: what the audit promises on mechanisms that are known."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.commands import Inside

pytestmark = pytest.mark.slow

FAMILIES = ("shared_path", "backups", "low_cosine", "imperfect")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    chosen = [argument for family in FAMILIES for argument in ("--family", family)]
    subprocess.run(
        ["sae-audit", "bench", "--quick", *chosen, "--out", str(folder)],
        check=True,
        timeout=600,
        # One thread, as in every test process: the other core has tests of its own.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return folder


def rows(out: Path, stage: str, method: str) -> dict[str, dict[str, float | None]]:
    found = json.loads((out / "bench.json").read_text())["rows"]
    return {
        row["case"]["family"]: row["measures"]
        for row in found
        if row["stage"] == stage and row["method"] == method
    }


def test_minimal_sets_and_waves_are_exact_on_every_prompt(out: Path):
    found = rows(out, "minimal sets", "ours: splitting")
    assert set(found) == set(FAMILIES)
    assert all(measures["exact"] == 1.0 for measures in found.values())
    assert all(measures["exact"] == 1.0 for measures in rows(out, "cascades", "ours").values())


def test_pair_kinds_are_told_apart_within_40_sets_a_player(out: Path):
    found = rows(out, "interactions", "ours: walsh")
    kinds = [
        value for measures in found.values() for name, value in measures.items() if "AUROC" in name
    ]
    known = [value for value in kinds if value is not None]
    assert len(known) >= 3
    assert all(value == 1.0 for value in known)


def test_rivals_fail_where_they_should(out: Path):
    """The bench can tell: a fixed head of a ranking is no minimal set, and chance finds nothing."""
    assert rows(out, "minimal sets", "random order")["backups"]["exact"] == 0.0
    assert rows(out, "minimal sets", "cosine top-K")["low_cosine"]["exact"] == 0.0
    assert rows(out, "cascades", "ablate everything once")["backups"]["depth error"] is not None


def test_recall_stands_beside_that_of_as_many_random_features(out: Path):
    """Planted dictionaries hold 128 features a layer."""
    for measures in rows(out, "candidates", "cosine").values():
        size, chance, recall = (
            measures[name] for name in ("size of the pool", "recall by chance", "recall")
        )
        assert size is not None
        assert chance is not None
        assert recall is not None
        n_layers = size / chance / 128
        assert n_layers == pytest.approx(round(n_layers))
        assert 0.0 < chance < recall


def test_the_page_and_a_second_run_are_made_from_what_is_kept(out: Path, inside: Inside):
    page = (out / "index.html").read_text()
    assert "Methods against models whose answer is known" in page
    assert "Imperfect SAE" in page
    named = " ".join(f"--family {family}" for family in FAMILIES)
    assert f"sae-audit bench --quick --prompts 4 {named}" in page, "the page repeats itself"
    before = (out / "bench.json").read_text()
    chosen = [argument for family in FAMILIES for argument in ("--family", family)]
    again = inside("bench", "--quick", *chosen, "--out", str(out), "--json", cwd=out)
    assert again.returncode == 0, again.stderr
    assert (out / "bench.json").read_text() == before
    assert json.loads(again.stdout)["rows"] == json.loads(before)["rows"]


def test_an_unknown_family_is_bad_input(tmp_path: Path, inside: Inside):
    found = inside("bench", "--family", "voting", "--out", str(tmp_path), cwd=tmp_path)
    assert found.returncode == 2
    assert "No planted family 'voting'" in found.stderr
