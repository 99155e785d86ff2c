"""Minimal sets of set functions whose minimal sets are known."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.config import MinimalSettings
from sae_audit.minimal.elimination import eliminate
from sae_audit.minimal.greedy import minimal_set
from sae_audit.minimal.pooled import pooled_set
from sae_audit.vocabulary import FeatureSet, Score
from tests.games import features, game, needs

SETTINGS = MinimalSettings()


def test_the_two_features_that_are_needed_are_found():
    pool = features(20)
    found = minimal_set("p", needs(pool[3], pool[7]), pool, SETTINGS)
    assert found.features == (pool[3], pool[7])
    assert found.certified
    assert found.score_without == {pool[3]: 3.0, pool[7]: 3.0}


def test_of_two_ways_one_is_found():
    pool = features(12)
    ways = [{pool[1], pool[2]}, {pool[5]}]
    score = game(lambda ablated: -1.0 if any(way <= ablated for way in ways) else 2.0)
    found = minimal_set("p", score, pool, SETTINGS)
    assert set(found.features) in ways
    assert found.certified


def test_a_prompt_that_nothing_flips_says_so():
    pool = features(5)
    found = minimal_set("p", game(lambda ablated: 4.0 - 0.5 * len(ablated)), pool, SETTINGS)
    assert not found.flipped
    assert not found.certified
    assert found.score_ablated == 1.5
    assert "leaves the refusal score at +1.50, need < 0" in found.reason


def test_a_score_of_exactly_zero_has_not_flipped():
    pool = features(3)
    found = minimal_set("p", game(lambda ablated: 3.0 - len(ablated)), pool, SETTINGS)
    assert not found.flipped


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=9), st.floats(0.5, 6.0))
def test_every_set_found_is_one_minimal_by_brute_force(effects: list[float], clean: float):
    pool = features(len(effects))
    weight = dict(zip(pool, effects, strict=True))

    def value(ablated: FeatureSet) -> float:
        return clean - sum(weight[f] for f in ablated)

    found = minimal_set("p", game(value), pool, SETTINGS)
    assert found.flipped == (value(frozenset(pool)) < 0.0)
    if found.flipped:
        assert value(frozenset(found.features)) < 0.0
        for smaller in combinations(found.features, len(found.features) - 1):
            assert value(frozenset(smaller)) >= 0.0


def test_effects_that_are_not_monotone_still_end_in_a_certificate():
    """Feature 0 restores refusal unless feature 1 is ablated with it."""
    a, b, c = pool = features(3)

    def value(ablated: FeatureSet) -> float:
        score = 2.0 - 3.0 * (c in ablated)
        return score + 2.0 * (a in ablated and b not in ablated)

    assert minimal_set("p", game(value), pool, SETTINGS).features == (c,)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_batches_change_the_cost_and_never_the_answer(seed: int, patience: int):
    random = np.random.default_rng(seed)
    pool = features(12)
    table: dict[FeatureSet, float] = {}

    def value(ablated: FeatureSet) -> float:
        return table.setdefault(ablated, float(random.normal()))

    score = game(value)

    def spares(before: float, after: float) -> bool:
        return after < before + 0.5

    assert (
        eliminate(score, pool, spares, patience=patience)[0]
        == eliminate(score, pool, spares, patience=1)[0]
        == one_by_one(score, pool, spares)
    )


def one_by_one(score: Score, pool: Sequence, spares) -> FeatureSet:
    left = frozenset(pool)
    before = float(score([left])[0])
    for feature in pool:
        after = float(score([left - {feature}])[0])
        if spares(before, after):
            left, before = left - {feature}, after
    return left


def test_what_the_search_says_it_scored_is_what_it_asked():
    pool = features(30)
    asked = 0

    def counting(sets: Sequence[FeatureSet]) -> np.ndarray:
        nonlocal asked
        asked += len(sets)
        return needs(pool[3], pool[17])(sets)

    found = minimal_set("p", counting, pool, SETTINGS)
    assert found.n_sets_scored == asked


def test_the_pooled_set_serves_all_prompts_and_is_tried_on_others():
    a, b, *_ = pool = features(6)
    scores = {"p1": needs(a), "p2": needs(b), "p3": needs(a), "p4": needs(pool[5])}
    sets = [minimal_set(name, score, pool, SETTINGS) for name, score in scores.items()]
    pooled = pooled_set(scores, sets, built_on=["p1", "p2"], held_out=["p3", "p4"], patience=8)
    assert pooled.features == (a, b)
    assert pooled.flipped_built.value == 1.0
    assert pooled.flipped_held_out.value == 0.5
    assert pooled.share_without == {a: 0.5, b: 0.5}


def test_no_candidates_is_our_mistake():
    with pytest.raises(AssertionError):
        minimal_set("p", game(lambda _: 1.0), [], SETTINGS)
