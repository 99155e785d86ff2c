"""Controls: sets that differ in origin and in nothing else."""

import numpy as np
import pytest

from sae_audit.controls.comparisons import error_term_control, scale_control, set_control
from sae_audit.controls.linear_probe import end_probe_ranking, probe_ranking
from sae_audit.controls.training_rankings import mean_difference_ranking, ranked
from sae_audit.findings import FlipScale, ScalePoint
from sae_audit.vocabulary import FeatureId, TemplateActivations
from tests.games import features, game, needs


def test_the_probe_ranks_the_feature_that_separates_first():
    random = np.random.default_rng(0)
    harmful, harmless = random.random((40, 30)), random.random((33, 30))
    harmful[:, 4] += 2.0
    harmless[:, 9] += 2.0
    harmful[:, 20] = harmless[:, 20] = 0.0
    ranking = probe_ranking({3: harmful}, {3: harmless})
    assert ranking[0] == FeatureId(3, 4)
    assert ranking[-1] == FeatureId(3, 9)
    assert FeatureId(3, 20) not in ranking


def ends(
    index: list[int], last: np.ndarray, before: np.ndarray | None = None
) -> TemplateActivations:
    """Activations at two template positions, `last` at the last one."""
    values = np.stack([np.zeros_like(last) if before is None else before, last], axis=1)
    return TemplateActivations(
        index=np.array(index, dtype=np.int64), values=values, factor=np.ones(values.shape[:2])
    )


def test_a_probe_of_the_last_token_reads_that_token_alone():
    """Feature 4 tells the labels apart at the last position, feature 6 at the one before; feature 2
    fires under one label alone."""
    random = np.random.default_rng(0)
    harmful, harmless = random.random((40, 3)), random.random((33, 2))
    harmful[:, 1] += 2.0
    before = random.random((40, 3))
    before[:, 2] += 2.0
    ranking = end_probe_ranking({3: ends([2, 4, 6], harmful, before)}, {3: ends([4, 6], harmless)})
    assert ranking[0] == FeatureId(3, 4)
    assert set(ranking) == {FeatureId(3, 2), FeatureId(3, 4), FeatureId(3, 6)}


def test_where_nothing_fires_at_the_end_there_is_no_ranking():
    nothing = {0: ends([], np.zeros((4, 0)))}
    assert end_probe_ranking(nothing, nothing) == []


def test_the_difference_of_means_counts_times_norm_and_cosine():
    """Pushes: 2 x 3 x .5 = 3, 4 x 1 x .5 = 2, 1 x 1 x .9 = .9; the others push harmless prompts further,
    or to answer."""
    harmful = {0: ends([0, 1, 2, 3], np.tile([2.0, 5.0, 1.0, 9.0], (3, 1)))}
    harmless = {0: ends([1, 4], np.tile([1.0, 9.0], (2, 1)))}
    norms, cosines = np.array([3.0, 1, 1, 1, 1]), np.array([0.5, 0.5, 0.9, -0.9, 0.9])
    ranking = mean_difference_ranking(harmful, harmless, {0: norms}, {0: cosines})
    assert [feature.index for feature in ranking] == [0, 1, 2]


def test_ranked_features_are_those_above_zero_over_all_layers():
    values = {1: np.array([0.0, 2.0, -1.0]), 0: np.array([3.0, 0.5, 0.0])}
    assert ranked(values) == [FeatureId(0, 0), FeatureId(1, 1), FeatureId(0, 1)]


def test_a_set_control_counts_flips_and_falls():
    a, b = features(2)
    scores = {"p": needs(a), "q": needs(b)}

    def removed(prompt_id: str, _: object) -> float:
        return {"p": 3.0, "q": 5.0}[prompt_id]

    control = set_control("minimal", scores, lambda _: [frozenset([a])], removed)
    assert control.removed_norm == 4.0
    assert control.flipped.value == 0.5
    assert control.flipped.method == "Wilson 95%"
    assert control.score_drop.value == pytest.approx(2.0)


def test_several_sets_for_a_prompt_are_no_independent_cases():
    a, b = features(2)
    sets = [frozenset([a]), frozenset([b]), frozenset([a, b]), frozenset()]
    control = set_control("random", {"p": needs(a), "q": needs(a)}, lambda _: sets)
    assert control.flipped.value == 0.5
    assert control.flipped.n == 2
    assert control.flipped.method == "none: fewer than 5 cases"


def scaled(scale: float | None, *, ablated: str = "minimal_set") -> FlipScale:
    ends = (
        ScalePoint(scale=0.0, score=1.0),
        ScalePoint(scale=scale or 4.0, score=-1.0 if scale else 1.0),
    )
    return FlipScale(
        prompt_id=f"p{scale}",
        ablated=ablated,
        n_features=2,
        scale=scale,
        points=ends,
        tolerance=1.0,
        n_sets_scored=1,
    )


def test_doses_are_averaged_and_random_sets_tried_at_each():
    """Half of the random sets flip at .8, none at .5: a prompt counts by its average."""

    def random_scores(found: FlipScale) -> np.ndarray:
        return np.array([0.7 - (found.scale or 0.0), 1.0])

    found = scale_control([scaled(0.5), scaled(0.8)], random_scores)
    assert found.ablated == "minimal_set"
    assert found.mean is not None
    assert found.median is not None
    assert found.random_flipped is not None
    assert found.flipped.value == 1.0
    assert found.mean.value == pytest.approx(0.65)
    assert found.random_flipped.value == 0.25
    assert found.random_flipped.n == 2


def test_where_no_dose_flips_there_is_no_mean():
    found = scale_control([scaled(None, ablated="candidates")], lambda _: np.array([1.0]))
    assert found.flipped.value == 0.0
    assert (found.mean, found.median, found.random_flipped) == (None, None, None)


def test_without_features_to_draw_from_there_is_no_random_share():
    found = scale_control([scaled(2.0, ablated="candidates")], None)
    assert found.mean is not None
    assert found.random_flipped is None


def test_the_error_term_control_keeps_its_shares_apart():
    a = features(1)[0]
    found = error_term_control(
        {"p": needs(a), "q": needs(a)},
        {"p": needs(a), "q": needs(a)},
        {"p": needs(a), "q": game(lambda _: 1.0)},
        {"p": game(lambda _: 1.0), "q": game(lambda _: -1.0)},
        {"p": frozenset([a]), "q": frozenset([a])},
    )
    assert found.change_frozen.value == 0.0
    assert found.change_dropped.value == pytest.approx((1.0 - needs(a)([frozenset([a])])[0]) / 2)
    assert found.flipped_kept.value == 1.0
    assert found.flipped_frozen.value == 1.0
    assert found.flipped_dropped.value == 0.5
    assert found.refused_dropped_alone.value == 0.5
