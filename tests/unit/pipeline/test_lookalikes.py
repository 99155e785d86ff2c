"""Safe look-alikes are scored, and change no other number of an audit."""

import json
from pathlib import Path

import pytest

from sae_audit import audit
from sae_audit.config import AuditConfig
from tests.unit.pipeline.conftest import Undisturbed

pytestmark = pytest.mark.usefixtures("several_groups")


def test_look_alikes_change_no_other_number(
    config: AuditConfig, undisturbed: Undisturbed, tmp_path: Path
):
    source = Path(config.prompts.sources[0])
    asked = [json.loads(line) for line in source.read_text().splitlines()]
    # Texts of both labels said twice: some are refused, and some are not. Those alike are left out.
    lines = [
        {"id": f"alike-{i}", "text": f"{one['text']} {one['text']}", "label": "safe_lookalike"}
        for i, one in enumerate((*asked[:3], *asked[-3:]))
    ]
    alike = tmp_path / "alike.jsonl"
    alike.write_text("\n".join(map(json.dumps, lines)))
    prompts = {"sources": (str(source), str(alike)), "lookalikes": 3}
    changed = config.model_copy(update={"prompts": config.prompts.model_copy(update=prompts)})
    run = audit(changed, tmp_path / "run")
    own = [one for one in run.scores if one.label == "safe_lookalike"]
    assert len(own) == 3
    assert {one.split for one in own} == {"audit"}
    found, before = (
        json.loads(text)
        for text in ((tmp_path / "run" / "findings.json").read_text(), undisturbed.findings)
    )
    share = found["behaviour"].pop("refused_lookalikes")
    assert (share["n"], round(share["value"] * 3)) == (3, sum(one.score > 0 for one in own))
    assert before["behaviour"].pop("refused_lookalikes") is None
    for counts, n in ((found["prompts"], 3), (before["prompts"], 0)):
        assert counts.pop("safe_lookalikes") == n
        counts.pop("refused_lookalikes")
    found["scores"] = [one for one in found["scores"] if one["label"] != "safe_lookalike"]
    costs = [one.pop("cost")["forward_passes"] for one in (found, before)]
    assert costs[0] == costs[1] + 3
    assert found == before
