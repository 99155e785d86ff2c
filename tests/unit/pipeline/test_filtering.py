"""A whole audit with greedy filtering, candidates chosen by validation, and the machine."""

import pytest

from sae_audit import audit
from sae_audit.findings.stages import COACTIVATION_FM, FILTER_CURVE
from sae_audit.planning.facts import subject_facts
from sae_audit.planning.work import work_of
from sae_audit.record.run import Run
from sae_audit.report.page import render
from tests.unit.pipeline.planted_audit import planted_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("filtering")
    config = planted_config(
        folder / "it",
        candidates={"per_layer": [1, 3, 5], "widen_rounds": 0},
        minimal={"search": "greedy", "order": "candidates", "more_sets_budget": 0},
        coactivation={"enabled": True, "added": [1, 2], "n_permutations": 3},
    )
    return audit(config, folder / "run")


def test_the_smallest_number_of_candidates_that_flips_most_is_taken(run: Run):
    tried = run.candidates.tried
    assert [one.per_layer for one in tried] == [1, 3, 5]
    most = max(one.flipped.value for one in tried)
    assert run.candidates.per_layer == next(
        one.per_layer for one in tried if one.flipped.value == most
    )
    layers = {one.feature.layer for one in run.candidates.candidates}
    assert len(run.candidates.candidates) == run.candidates.per_layer * len(layers)
    validation = [s for s in run.scores if s.split == "validation" and s.label == "harmful"]
    assert {one.flipped.n for one in tried} == {sum(one.score > 0.0 for one in validation)}


def test_the_filter_is_apart_from_what_elimination_leaves(run: Run):
    flipped = [one for one in run.minimal_sets if one.flipped]
    assert flipped
    for one in flipped:
        assert set(one.features) <= set(one.filtered or ())
    curve, pooled = run.filter_curve, run.pooled_set
    assert curve is not None
    assert pooled is not None
    built = [one for one in flipped if one.prompt_id in pooled.built_on]
    assert set(curve.ranking) == {f for one in built for f in one.filtered or ()}
    assert curve.points[-1].size == len(curve.ranking)


def test_the_machines_set_stands_beside_others_on_prompts_kept_apart(run: Run):
    found, pooled = run.coactivation_fm, run.pooled_set
    assert found is not None
    assert pooled is not None
    assert set(found.held_out).isdisjoint(pooled.built_on)
    assert found.n_refused + found.n_answered == sum(s.split == "train" for s in run.scores)
    sets = {one.name: one for one in found.sets}
    assert sets["filtered"].n_features == len(found.filtered)
    assert all(one.flipped.n == len(found.held_out) for one in found.sets)
    assert all(one.complied is not None for one in found.sets), "confirm is text"
    if found.added:
        whole = len(found.filtered) + len(found.added)
        assert sets["filtered_fm"].n_features == sets["linear_probe"].n_features == whole
        assert not {one.feature for one in found.added} & set(found.filtered)
        assert 0.25 <= found.p_value <= 1.0
    else:
        assert found.reason in render(run)


def test_both_stages_are_priced_and_only_if_they_are_asked_for(run: Run):
    work = {one.name: one for one in work_of(run.config, subject_facts(run.config))}
    assert {FILTER_CURVE.name, COACTIVATION_FM.name} <= work.keys()
    measured = {one.stage for one in run.manifest.stages}
    assert {FILTER_CURVE.name, COACTIVATION_FM.name} <= measured
    without = run.config.model_copy(
        update={
            "coactivation": run.config.coactivation.model_copy(update={"enabled": False}),
            "minimal": run.config.minimal.model_copy(update={"search": "splitting"}),
        }
    )
    names = {one.name for one in work_of(without, subject_facts(without))}
    assert not {FILTER_CURVE.name, COACTIVATION_FM.name} & names
