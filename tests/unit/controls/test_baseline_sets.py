"""Every kind of set that a found one is held against, held to the same promises."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.controls.linear_probe import probe_ranking
from sae_audit.pipeline.baseline_sets import BaselineSets
from sae_audit.vocabulary import FeatureId, FeatureSet

BASELINES = ["random_matched", "linear_probe", "top_cosine"]
LAYERS, D_SAE, N_RANDOM = (2, 5), 40, 10
RATES = {layer: np.random.default_rng(layer).permutation(D_SAE) / D_SAE for layer in LAYERS}
CANDIDATES = tuple(FeatureId(layer, index) for index in range(4) for layer in LAYERS)
"""The nearest in cosine first."""


def probed(n_prompts: int = 60) -> Sequence[FeatureId]:
    """A probe's ranking; of each layer the features from 30 on tell the labels apart, the last most."""
    random = np.random.default_rng(0)
    harmful, harmless = (
        {layer: random.random((n_prompts, D_SAE)) for layer in LAYERS} for _ in range(2)
    )
    for layer in LAYERS:
        harmful[layer][:, 30:] += np.linspace(0.5, 2.0, 10)
    return probe_ranking(harmful, harmless)


MADE = BaselineSets(firing_rates=RATES, probe=probed(), candidates=CANDIDATES, n_random=N_RANDOM)
found_sets = st.sets(st.sampled_from(CANDIDATES), min_size=1).map(frozenset)


@pytest.mark.parametrize("kind", BASELINES)
@given(found=found_sets, seed=st.integers(0, 2**20))
def test_they_are_as_large_and_of_audited_layers(kind: str, found: FeatureSet, seed: int):
    sets = MADE.all(found, seed)[kind]
    assert sets
    for one in sets:
        assert len(one) == len(found)
        assert all(one.layer in LAYERS and one.index < D_SAE for one in one)


@pytest.mark.parametrize("kind", BASELINES)
@given(found=found_sets, seed=st.integers(0, 2**20))
def test_a_seed_repeats_them(kind: str, found: FeatureSet, seed: int):
    assert MADE.all(found, seed)[kind] == MADE.all(found, seed)[kind]


def test_these_are_all_there_are():
    assert list(MADE.all(frozenset(CANDIDATES[:2]), seed=0)) == BASELINES


@given(found=found_sets, seed=st.integers(0, 2**20))
def test_random_ones_hold_no_candidate_and_are_of_the_same_layers(found: FeatureSet, seed: int):
    sets = MADE.random(found, seed)
    assert len(sets) == N_RANDOM
    for one in sets:
        assert not one & set(CANDIDATES)
        assert sorted(f.layer for f in one) == sorted(f.layer for f in found)


def test_random_ones_fire_as_often():
    """Of 36 others a layer the 20 nearest: half of the layer away at most, a quarter in the mean."""
    found = frozenset(CANDIDATES[:2])
    apart = [
        abs(RATES[layer][own.index] - RATES[layer][other.index])
        for layer in LAYERS
        for own in found
        for one in MADE.random(found, seed=0)
        for other in one
        if own.layer == other.layer == layer
    ]
    of_any = [abs(RATES[own.layer][own.index] - rate) for own in found for rate in RATES[own.layer]]
    assert np.mean(apart) < 0.75 * np.mean(of_any)
    assert max(apart) < max(of_any)


def test_a_probe_gives_what_it_weighs_most_and_cosine_what_is_nearest():
    (probe,) = MADE.all(frozenset(CANDIDATES[:2]), seed=0)["linear_probe"]
    assert {one.index for one in probe} <= {37, 38, 39}
    for n in (1, 3, 8):
        (cosine,) = MADE.all(frozenset(CANDIDATES[-n:]), seed=0)["top_cosine"]
        assert cosine == frozenset(CANDIDATES[:n])


@pytest.mark.parametrize(("n_features", "enough"), [(10, True), (6, True), (5, False)])
def test_a_layer_too_small_for_random_ones_is_known_before(n_features: int, *, enough: bool):
    """Four candidates a layer, two of them the set's: two stand-ins beside the four need six."""
    found = frozenset([FeatureId(2, 0), FeatureId(2, 1)])
    rates = {layer: np.zeros(n_features) for layer in LAYERS}
    small = BaselineSets(firing_rates=rates, probe=(), candidates=CANDIDATES, n_random=N_RANDOM)
    assert small.has_others_enough(found) == enough
    if enough:
        assert all(len(one) == 2 for one in small.random(found, seed=0))


def test_one_that_has_too_few_features_is_left_out_not_cut_short():
    few = BaselineSets(
        firing_rates=RATES, probe=probed()[:3], candidates=CANDIDATES[:2], n_random=N_RANDOM
    )
    assert list(few.all(frozenset(CANDIDATES[:4]), seed=0)) == ["random_matched"]
    assert list(few.all(frozenset(CANDIDATES[:2]), seed=0)) == BASELINES
