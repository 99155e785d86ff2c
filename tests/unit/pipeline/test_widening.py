"""Pools are widened for the prompts that need it, and for no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sae_audit import audit
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings import CandidateSet
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import Planted, audit_settings, plant
from sae_audit.pipeline.stages.candidates import some
from sae_audit.prompts.sources import read_prompts
from sae_audit.prompts.types import Label
from sae_audit.record.run import Run
from sae_audit.vocabulary import FeatureId

_FAST = {
    "prompts": {"train": 6, "validation": 4, "audit": 4},
    "minimal": {"more_sets_budget": 0},
    "ablation_scale": {"grid": 0},
    "interactions": {"n_masks": 64, "max_players": 4},
    "controls": {"random_sets": 1, "random_directions": 2},
}
"""The other stages at their smallest."""


@pytest.fixture(scope="module", params=[0, 1])
def whispers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Part of the mechanism is too quiet for the direction to show; with seed 1 for a gradient at
    the clean run as well."""
    folder = tmp_path_factory.mktemp("whispers") / "planted"
    return plant(build("low_cosine", 2, request.param), folder, architecture="llama")


def audited(planted: Planted, out: Path, **candidates: float) -> Run:
    settings = audit_settings(planted)
    prompts = {**settings["prompts"], **_FAST["prompts"]}
    settings |= {**_FAST, "prompts": prompts, "candidates": candidates}
    return audit(AuditConfig(**settings), out)


def test_what_covers_for_the_candidates_is_found_once_they_are_ablated(
    whispers: Planted, tmp_path: Path
):
    run = audited(whispers, tmp_path / "run")
    candidates = {candidate.feature for candidate in run.candidates.candidates}
    quiet = set(whispers.truth.causal) - candidates
    assert quiet
    (true,) = whispers.truth.by_category["harm"].minimal_sets
    for found in run.minimal_sets:
        pool = run.widened[found.prompt_id]
        assert quiet <= {feature for added in pool.added for feature in added}
        assert pool.scores[0] >= 0.0 > pool.scores[-1]
        assert found.features == true
    (published, *_) = run.findings.widened_pools
    assert quiet <= {feature for added in published.added for feature in added}


def test_without_widening_the_prompt_is_not_flipped_and_says_why(whispers: Planted, tmp_path: Path):
    run = audited(whispers, tmp_path / "run", widen_rounds=0)
    assert not any(found.flipped for found in run.minimal_sets)
    assert all("widen the pool" in found.reason for found in run.minimal_sets)


def test_prompts_that_their_candidates_flip_keep_them(tmp_path: Path):
    planted = plant(build("parallel", 2, 0), tmp_path / "planted", architecture="llama")
    run = audited(planted, tmp_path / "run")
    assert run.minimal_sets
    assert all(not pool.added and len(pool.scores) == 1 for pool in run.widened.values())


@pytest.mark.parametrize("whispers", [0], indirect=True)
def test_features_that_fire_on_harmless_prompts_can_be_left_out(whispers: Planted, tmp_path: Path):
    """Of candidates and of wider pools; what is planted fires on harm alone, and is found."""
    harmless = [one for one in read_prompts([whispers.prompts]) if one.label is Label.HARMLESS]
    peaks = whispers.subject().peak_activations(harmless)
    firing = {
        FeatureId(layer, int(index))
        for layer, own in peaks.items()
        for index in np.flatnonzero((own > 0.0).any(axis=0))
    }

    def searched(run: Run) -> set[FeatureId]:
        pools = (pool.added for pool in run.widened.values())
        added = {feature for rounds in pools for some in rounds for feature in some}
        return added.union(one.feature for one in run.candidates.candidates)

    every = audited(whispers, tmp_path / "every", per_layer=16)
    rarer = audited(whispers, tmp_path / "rarer", per_layer=16, max_harmless_rate=0.0)
    assert every.candidates.left_out == 0
    assert rarer.candidates.left_out > 0
    assert searched(every) & firing
    assert not searched(rarer) & firing
    assert set(whispers.truth.causal) <= searched(rarer)
    assert [one.features for one in rarer.minimal_sets] == [
        one.features for one in every.minimal_sets
    ]


def test_if_none_is_left_it_says_which_setting():
    none = CandidateSet(method="cosine", per_layer=4, reason="", candidates=(), left_out=96)
    with pytest.raises(AuditError, match=r"96 fire on .*candidates\.max_harmless_rate .*raise it"):
        some(none)
    assert some(replace(none, left_out=0)).candidates == (), "for another reason"
