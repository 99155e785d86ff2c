"""An audit whose direction is chosen by another method is a whole audit, and resumes."""

import json
import sqlite3
from pathlib import Path

import pytest

from sae_audit import audit
from sae_audit.presets import build_config
from tests.acceptance.test_command import SMALL, SMALLER


@pytest.mark.slow
def test_cosmic_from_settings_to_page_and_again(tmp_path: Path):
    config = build_config("organism", {}, [*SMALL, *SMALLER, "direction.selection=cosmic"])
    run = audit(config, tmp_path / "run")
    assert run.direction.selection.method == "cosmic"
    assert run.direction.bypass < 0.0 < run.direction.induce
    assert "COSMIC score" in (run.folder / "index.html").read_text()
    assert run.table("directions").cosmic.notna().sum() == len(run.direction.evaluations)
    whole = (run.folder / "findings.json").read_bytes()
    assert json.loads(whole)["direction"]["selection"]["source"] == "2506.00085"

    store = sqlite3.connect(run.folder / "run.sqlite")
    store.execute("DELETE FROM records WHERE stage NOT IN ('scores', 'sae_quality', 'behaviour')")
    store.execute("DELETE FROM facts WHERE name = 'finished'")
    store.commit()
    store.close()
    assert (audit(config, tmp_path / "run").folder / "findings.json").read_bytes() == whole
