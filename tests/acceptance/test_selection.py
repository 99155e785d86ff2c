"""An audit whose direction is chosen by another method is a whole audit, and resumes."""

import json
import sqlite3
from pathlib import Path

import pytest

from sae_audit import audit
from tests.unit.pipeline.planted_audit import planted_config


@pytest.mark.slow
def test_cosmic_from_settings_to_page_and_again(tmp_path: Path):
    config = planted_config(tmp_path / "planted", direction={"selection": "cosmic"})
    run = audit(config, tmp_path / "run")
    assert run.direction.selection.method == "cosmic"
    # COSMIC asks no score of anything, so its direction need not be the one that lowers it most.
    refused = [one.score for one in run.scores if one.label == "harmful"]
    assert run.direction.bypass is not None
    assert run.direction.bypass < sum(refused) / len(refused)
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
