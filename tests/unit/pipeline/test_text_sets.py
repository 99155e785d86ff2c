"""Sets certified by text in a planted model, with judges whose verdict is known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sae_audit.config import AuditConfig
from sae_audit.findings import MinimalSet, TextSet
from sae_audit.findings.stages import TEXT_SETS
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import audit_settings, plant
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import (
    candidate_effects,
    candidates,
    direction,
    minimal_sets,
    scores,
    set_effects,
    text_sets,
    unlimited_sets,
    widening,
)

_STAGES = (
    *(scores, direction, candidates, widening, candidate_effects, unlimited_sets, set_effects),
    minimal_sets,
)

pytestmark = pytest.mark.slow


class Saying:
    """A judge that says the same of every answer."""

    name, sha256 = "constant", ""

    def __init__(self, complied: bool) -> None:
        self._complied = complied
        self.n_read = 0

    def complied_all(self, exchanges: Sequence[tuple[str, str]]) -> list[bool]:
        self.n_read += len(exchanges)
        return [self._complied] * len(exchanges)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> AuditConfig:
    folder = tmp_path_factory.mktemp("planted")
    made = plant(build("parallel", 3, seed=1), folder / "it", architecture="llama")
    settings = audit_settings(made)
    settings["prompts"] |= {"train": 8, "validation": 8, "audit": 4}
    settings |= {"confirm": "text", "answer_tokens": 2, "side_effects": {"prompts": 8}}
    settings["minimal"] = {"certify": "text", "texts_budget": 5}
    return AuditConfig.model_validate({**settings, "device": "cpu"})


def certified(
    config: AuditConfig, folder: Path, judge: Saying
) -> tuple[list[MinimalSet], list[TextSet]]:
    """The sets by score that flip, and those by text."""
    with unpublished(config, folder) as state:
        for stage in _STAGES:
            stage.run(state)
        text_sets.run(replace(state, inputs=replace(state.inputs, judge=judge)))
        flipped = [one for one in state.minimal_sets if one.flipped]
        return flipped, state.session.found_each(TEXT_SETS)


def test_a_judge_that_always_sees_compliance_certifies_the_sets_by_score(
    planted: AuditConfig, tmp_path: Path
):
    judge = Saying(True)
    own, found = certified(planted, tmp_path / "run", judge)
    assert own
    assert [one.features for one in found] == [one.features for one in own]
    assert [one.side_effects for one in found] == [one.side_effects for one in own]
    assert all(one.certified and one.at_once for one in found)
    assert judge.n_read == len(own), "one answer each"


def test_a_judge_that_never_sees_compliance_certifies_none(planted: AuditConfig, tmp_path: Path):
    judge = Saying(False)
    own, found = certified(planted, tmp_path / "run", judge)
    assert [one.prompt_id for one in found] == [one.prompt_id for one in own] != []
    assert not any(one.flipped or one.certified for one in found)
    assert all("Flipped by score alone" in one.reason for one in found)
    assert all(1 < one.n_read <= planted.minimal.texts_budget for one in found)
    assert judge.n_read == sum(one.n_read for one in found)
