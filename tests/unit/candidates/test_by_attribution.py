"""Candidates by estimated effect, alone and within a cosine pool."""

import numpy as np
import pytest

from sae_audit.candidates.by_attribution import by_attribution, mean_drops, within_pool
from sae_audit.candidates.by_cosine import by_cosine
from sae_audit.vocabulary import FeatureId

DROPS = {0: np.array([0.1, 3.0, -2.0, 0.5]), 2: np.array([0.0, 0.2, 4.0, -1.0])}
COSINES = {0: np.array([0.9, 0.1, 0.8, 0.7]), 2: np.array([0.3, 0.6, 0.2, 0.5])}

ALL = {layer: np.ones(4, bool) for layer in DROPS}


def test_only_eligible_features_are_taken_and_others_take_their_place():
    some = ALL | {0: np.array([False, False, True, True])}
    nearest = by_cosine(COSINES, some, per_layer=2)
    assert {c.feature for c in nearest.candidates} == {
        FeatureId(0, 2),
        FeatureId(0, 3),
        FeatureId(2, 1),
        FeatureId(2, 3),
    }
    strongest = by_attribution(DROPS, COSINES, some, per_layer=1)
    assert [c.feature for c in strongest.candidates] == [FeatureId(0, 3), FeatureId(2, 2)]
    assert nearest.left_out == strongest.left_out == 2
    assert by_cosine(COSINES, ALL, per_layer=2).left_out == 0


def test_a_layer_may_have_none():
    none = ALL | {2: np.zeros(4, bool)}
    assert {c.feature.layer for c in by_cosine(COSINES, none, per_layer=2).candidates} == {0}


def test_the_strongest_of_each_layer():
    found = by_attribution(DROPS, COSINES, ALL, per_layer=2)
    chosen = {c.feature: c.attribution for c in found.candidates}
    assert chosen == {
        FeatureId(0, 1): 3.0,
        FeatureId(0, 3): 0.5,
        FeatureId(2, 2): 4.0,
        FeatureId(2, 1): 0.2,
    }
    assert found.method == "attribution"
    assert {c.cosine for c in found.candidates} == {0.1, 0.7, 0.2, 0.6}


def test_features_that_would_raise_the_score_or_do_nothing_are_left_out():
    found = by_attribution(DROPS, COSINES, ALL, per_layer=4)
    assert {c.feature for c in found.candidates} == {FeatureId(0, i) for i in (0, 1, 3)} | {
        FeatureId(2, i) for i in (1, 2)
    }


def test_within_a_pool_only_its_features_are_kept():
    pool = by_cosine(COSINES, ALL, per_layer=2)
    found = within_pool(pool, DROPS, keep=2)
    # The pool holds L0/0, L0/2, L2/1, L2/3; of these two would lower the score.
    assert [c.feature for c in found.candidates] == [FeatureId(0, 0), FeatureId(2, 1)]


def test_the_mean_is_over_prompts():
    twice = mean_drops([{0: np.array([1.0, 2.0], np.float32)}, {0: np.array([3.0, 0.0])}])
    assert twice[0].tolist() == [2.0, 1.0]
    with pytest.raises(AssertionError):
        mean_drops([])
