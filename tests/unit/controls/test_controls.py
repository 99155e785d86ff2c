"""Controls: sets that differ in origin and in nothing else."""

import numpy as np
import pytest

from sae_audit.controls.comparisons import error_term_control, scale_control, set_control
from sae_audit.controls.linear_probe import probe_ranking
from sae_audit.findings import FlipScale, ScalePoint
from sae_audit.vocabulary import FeatureId
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


def test_a_set_control_counts_flips_and_falls():
    a, b = features(2)
    scores = {"p": needs(a), "q": needs(b)}
    control = set_control("minimal", scores, lambda _: [frozenset([a])], seed=0)
    assert control.flipped.value == 0.5
    assert control.flipped.method == "Wilson 95%"
    assert control.score_drop.value == pytest.approx(2.0)


def test_several_sets_for_a_prompt_are_no_independent_cases():
    a, b = features(2)
    sets = [frozenset([a]), frozenset([b]), frozenset([a, b]), frozenset()]
    control = set_control("random", {"p": needs(a), "q": needs(a)}, lambda _: sets, seed=0)
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

    found = scale_control([scaled(0.5), scaled(0.8)], random_scores, seed=0)
    assert found.ablated == "minimal_set"
    assert found.mean is not None
    assert found.median is not None
    assert found.random_flipped is not None
    assert found.flipped.value == 1.0
    assert found.mean.value == pytest.approx(0.65)
    assert found.random_flipped.value == 0.25
    assert found.random_flipped.n == 2


def test_where_no_dose_flips_there_is_no_mean():
    found = scale_control([scaled(None, ablated="candidates")], lambda _: np.array([1.0]), seed=0)
    assert found.flipped.value == 0.0
    assert (found.mean, found.median, found.random_flipped) == (None, None, None)


def test_without_features_to_draw_from_there_is_no_random_share():
    found = scale_control([scaled(2.0, ablated="candidates")], None, seed=0)
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
        seed=0,
    )
    assert found.change_frozen.value == 0.0
    assert found.change_dropped.value == pytest.approx((1.0 - needs(a)([frozenset([a])])[0]) / 2)
    assert found.flipped_kept.value == 1.0
    assert found.flipped_frozen.value == 1.0
    assert found.flipped_dropped.value == 0.5
    assert found.refused_dropped_alone.value == 0.5
