"""Interactions are fitted on as many refused prompts as asked for, and the report says on how many."""

from itertools import pairwise
from pathlib import Path

import pytest

from sae_audit import audit
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import scores
from tests.unit.pipeline.planted_audit import SMALL, planted_config


def test_graphs_are_of_the_prompts_drawn_and_all_else_is_of_every_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    fitted = {**SMALL["interactions"], "prompts": 2}
    config = planted_config(tmp_path / "model", interactions=fitted)
    with unpublished(config, tmp_path / "state") as state:
        scores.run(state)
        drawn = [prompt.id for prompt in state.drawn_refused(2)]
        refused = {prompt.id for prompt in state.refused}
        more = [{p.id for p in state.drawn_refused(n)} for n in range(1, 6)]
    assert all(few <= many for few, many in pairwise(more)), "nested"
    assert more[-1] == refused
    run = audit(config, tmp_path / "run")
    assert [graph.scope for graph in run.prompt_graphs] == drawn
    assert len(refused) == 4
    assert {one.prompt_id for one in run.minimal_sets} == refused
    page = (tmp_path / "run" / "index.html").read_text()
    assert "Interactions were measured on 2 of 4 refused prompts (interactions.prompts)." in page
