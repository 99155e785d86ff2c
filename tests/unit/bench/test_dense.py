"""Dense features that carry the stream: without limits of side effects they pass for refusal."""

from collections.abc import Iterator

import pytest

from sae_audit.bench.cases import Case, PlantedAudit, planted_audit
from sae_audit.bench.minimal_methods import WITHIN_LIMITS
from sae_audit.bench.run import minimal_rows
from sae_audit.findings import CandidateEffect
from sae_audit.findings.stages import CANDIDATE_EFFECTS, UNLIMITED_SETS
from sae_audit.pipeline.stages import candidate_effects, minimal_sets, set_effects, unlimited_sets
from sae_audit.vocabulary import FeatureSet

WITH_COMPANY = Case(family="dense", size=3, seed=0, architecture="llama")
"""A carrier flips a prompt with one refusing unit."""
ALONE = Case(family="dense", size=3, seed=1, architecture="gemma2")
"""A carrier flips a prompt alone."""
NO_LIMITS = {"side_effects": {"kl_limit": 1e9, "first_tokens_limit": 1.0}}


@pytest.fixture(scope="module", params=[WITH_COMPANY, ALONE], ids=str)
def audit(request: pytest.FixtureRequest) -> Iterator[PlantedAudit]:
    with planted_audit(request.param, n_prompts=4) as found:
        searched(found)
        yield found


def searched(audit: PlantedAudit) -> None:
    for stage in (unlimited_sets, candidate_effects, set_effects, minimal_sets):
        stage.run(audit.state)


def sets_of(audit: PlantedAudit) -> set[FeatureSet]:
    return {frozenset(one.features) for one in audit.state.minimal_sets}


def dense_of(audit: PlantedAudit) -> FeatureSet:
    return frozenset(audit.planted.truth.dense)


def mechanism_of(audit: PlantedAudit) -> FeatureSet:
    (mechanism,) = audit.planted.truth.by_category["harm"].minimal_sets
    return frozenset(mechanism)


def test_with_limits_the_mechanism_is_found_and_without_them_what_breaks_the_model(
    audit: PlantedAudit,
):
    assert sets_of(audit) == {mechanism_of(audit)}
    assert all(one.certified for one in audit.state.minimal_sets)
    assert all(set(one.excluded) == dense_of(audit) for one in audit.state.minimal_sets)
    beside = audit.state.session.found_each(UNLIMITED_SETS)
    assert len(beside) == 4
    assert all(one.certified and dense_of(audit) & set(one.features) for one in beside)


def test_limits_that_limit_nothing_let_dense_features_in():
    """What the test above must fail on."""
    with planted_audit(WITH_COMPANY, n_prompts=4, **NO_LIMITS) as audit:
        searched(audit)
        assert all(dense_of(audit) & one for one in sets_of(audit))
        assert all(not one.excluded for one in audit.state.minimal_sets)


def test_candidates_carry_their_firing_and_what_zero_does_to_one_that_is_never_zero(
    audit: PlantedAudit,
):
    effects = audit.state.session.found(CANDIDATE_EFFECTS)
    by_feature: dict[object, CandidateEffect] = {one.feature: one for one in effects.effects}
    assert len(dense_of(audit)) == 2
    for one in (by_feature[feature] for feature in dense_of(audit)):
        assert (one.fires_on_harmful, one.fires_on_harmless) == (1.0, 1.0)
        assert one.last_token_harmless == pytest.approx(1.0, abs=1e-3)
        assert one.kl > 20 * effects.kl_limit
        assert one.first_tokens_changed == 1.0
        assert abs(one.kl_at_other_clamp) < 1e-3
    for one in (by_feature[feature] for feature in mechanism_of(audit)):
        assert 0.0 < one.fires_on_harmful < 0.6
        assert one.fires_on_harmless == 0.0
        assert abs(one.kl) < 1e-3
    assert set(effects.beyond_alone) == dense_of(audit)


@pytest.mark.parametrize("audit", [WITH_COMPANY], indirect=True, ids=str)
def test_the_bench_has_a_row_that_falls_for_them_and_one_that_does_not(audit: PlantedAudit):
    by_method = {row.method: row.measures for row in minimal_rows(audit)}
    assert by_method["ours: splitting"]["holds a dense feature"] == 1.0
    assert by_method["ours: splitting"]["exact"] == 0.0
    assert by_method[WITHIN_LIMITS]["holds a dense feature"] == 0.0
    assert by_method[WITHIN_LIMITS]["exact"] == 1.0
    assert by_method[WITHIN_LIMITS]["flipped"] == 1.0


def test_models_without_dense_features_are_not_judged_by_them():
    case = Case(family="parallel", size=2, seed=0, architecture="llama")
    with planted_audit(case, n_prompts=4) as audit:
        rows = minimal_rows(audit)
    assert all("holds a dense feature" not in row.measures for row in rows)
    found = {row.method: row.measures for row in rows}
    assert found[WITHIN_LIMITS] == found["ours: splitting"]
