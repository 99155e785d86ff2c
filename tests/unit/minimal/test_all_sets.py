"""All minimal sets of set functions whose minimal sets are known, by theorem or by brute force."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.config import MinimalSettings
from sae_audit.findings import MinimalSet, MinimalSetFamily
from sae_audit.minimal.all_sets import minimal_set_family
from sae_audit.minimal.asking import answered, answered_together
from sae_audit.minimal.hitting_sets import NO_SETS
from sae_audit.minimal.search import minimal_set
from sae_audit.vocabulary import FeatureId, FeatureSet, Score
from tests.games import features, game

PLENTY = MinimalSettings(more_sets_budget=4096)
TERMS = st.lists(st.frozensets(st.integers(0, 7), min_size=1, max_size=4), min_size=1, max_size=6)
"""Ways to flip, as places in a pool of eight: a random monotone function, as an OR of ANDs."""


def first_set(score: Score, pool: Sequence[FeatureId]) -> MinimalSet:
    return answered(minimal_set("p", [pool], MinimalSettings()), score)[0]


def family_of(
    score: Score, pool: Sequence[FeatureId], settings: MinimalSettings = PLENTY
) -> MinimalSetFamily:
    found, n_asked = answered(minimal_set_family(first_set(score, pool), pool, settings), score)
    assert found.n_sets_scored == n_asked, "every set asked about is reported"
    assert n_asked <= settings.more_sets_budget
    assert all(one.certified for one in found.sets)
    return found


def flips_by(*ways: FeatureSet) -> Callable[[FeatureSet], float]:
    return lambda ablated: -1.0 if any(way <= ablated for way in ways) else 2.0


def sets_of(found: MinimalSetFamily) -> set[FeatureSet]:
    own = [frozenset(one.features) for one in found.sets]
    assert len(set(own)) == len(own), "no set is listed twice"
    return set(own)


def minimal_by_brute_force(value: Callable[[FeatureSet], float], pool) -> set[FeatureSet]:
    """Of a monotone function: the sets that flip and hold no smaller one that does."""
    found: list[FeatureSet] = []
    for size in range(len(pool) + 1):
        for chosen in map(frozenset, combinations(pool, size)):
            if value(chosen) < 0.0 and not any(one <= chosen for one in found):
                found.append(chosen)
    return set(found)


def test_two_copies_of_a_mechanism_and_a_part_both_need():
    """Feature 0 is needed; 1 and 2 stand in for each other: two sets, one of core features."""
    pool = features(12)
    a, b, c = pool[:3]
    found = family_of(game(flips_by(frozenset({a, b}), frozenset({a, c}))), pool)
    assert sets_of(found) == {frozenset({a, b}), frozenset({a, c})}
    assert found.complete
    assert not found.contradicted
    assert found.core == (a,)
    assert found.replaceable == (b, c)


def test_three_of_five_has_ten():
    pool = features(5)
    found = family_of(game(lambda ablated: 2.5 - len(ablated)), pool)
    assert len(found.sets) == 10
    assert found.complete
    assert found.core == ()
    assert found.replaceable == tuple(pool)


def test_the_first_set_is_the_prompts_own_and_a_smaller_one_is_named():
    pool = features(20)
    ways = [frozenset(pool[:3]), frozenset(pool[10:12])]
    score = game(flips_by(*ways))
    found = family_of(score, pool)
    assert found.sets[0].features == first_set(score, pool).features == tuple(pool[:3])
    assert found.smallest == 2


@given(terms=TERMS, order=st.permutations(range(8)), patience=st.integers(1, 20))
def test_every_minimal_set_is_found_and_no_other(terms, order, patience: int):
    pool = features(8)
    value = flips_by(*(frozenset(pool[i] for i in term) for term in terms))
    settings = MinimalSettings(more_sets_budget=4096, patience=patience)
    found = family_of(game(value), [pool[i] for i in order], settings)
    truth = minimal_by_brute_force(value, pool)
    assert sets_of(found) == truth
    assert found.complete
    assert set(found.core) == frozenset.intersection(*truth)


@pytest.mark.parametrize("search", ["delta_debugging", "greedy", "elimination"])
def test_whatever_the_search(search):
    pool = features(9)
    ways = {frozenset(pool[:2]), frozenset(pool[2:5]), frozenset({pool[0], pool[8]})}
    settings = MinimalSettings(search=search, more_sets_budget=4096)
    found = family_of(game(flips_by(*ways)), pool, settings)
    assert sets_of(found) == ways
    assert found.complete


@given(terms=TERMS, budget=st.integers(0, 60))
def test_what_a_small_budget_finds_is_true_and_says_whether_it_is_all(terms, budget: int):
    pool = features(8)
    value = flips_by(*(frozenset(pool[i] for i in term) for term in terms))
    found = family_of(game(value), pool, MinimalSettings(more_sets_budget=budget))
    truth = minimal_by_brute_force(value, pool)
    assert sets_of(found) <= truth
    assert not found.complete or sets_of(found) == truth


def test_a_budget_that_ends_first_is_no_complete_list():
    pool = features(8)
    found = family_of(
        game(lambda ablated: 3.5 - len(ablated)), pool, MinimalSettings(more_sets_budget=40)
    )
    assert 1 < len(found.sets) < 70
    assert not found.complete


@given(seed=st.integers(0, 2**32 - 1))
def test_scores_without_rhyme_or_reason(seed: int):
    """Not monotone: the list may miss sets, but each it names flips and can spare nothing."""
    random = np.random.default_rng(seed)
    pool = features(7)
    table = {
        frozenset(chosen): float(random.normal())
        for size in range(8)
        for chosen in combinations(pool, size)
    }
    table[frozenset()], table[frozenset(pool)] = 1.0, -1.0
    found = family_of(game(table.__getitem__), pool)
    for one in sets_of(found):
        assert table[one] < 0.0
        assert all(table[one - {feature}] >= 0.0 for feature in one)
    assert not (found.contradicted and found.complete)


def test_what_contradicts_the_proviso_is_said():
    """Feature 1 without feature 0 restores refusal: {2} flips, and {1, 2, 3} does not."""
    a, b, c, _ = pool = features(4)

    def value(ablated: FeatureSet) -> float:
        return -1.0 if {a, b} <= ablated or (c in ablated and b not in ablated) else 2.0

    found = family_of(game(value), pool)
    assert sets_of(found) == {frozenset({a, b}), frozenset({c})}
    assert found.contradicted
    assert not found.complete


def test_no_set_is_asked_for_twice():
    pool = features(10)
    asked: list[FeatureSet] = []
    score = game(lambda ablated: 2.5 - len(ablated))
    first = first_set(score, pool)

    def noted(sets: Sequence[FeatureSet]) -> np.ndarray:
        asked.extend(sets)
        return score(sets)

    answered(minimal_set_family(first, pool, PLENTY), noted)
    assert len(set(asked)) == len(asked)
    assert not {frozenset(first.features), frozenset(pool), frozenset()} & set(asked)


def test_families_in_step_find_what_each_finds_alone():
    pool = features(10)
    scores = {
        "p": game(flips_by(frozenset(pool[:2]), frozenset(pool[4:6]))),
        "q": game(lambda ablated: 1.5 - len(ablated)),
    }
    together: dict[str, MinimalSetFamily] = {}
    answered_together(
        {
            name: minimal_set_family(first_set(score, pool), pool, PLENTY)
            for name, score in scores.items()
        },
        lambda questions: np.array([scores[name]([ablated])[0] for name, ablated in questions]),
        done=together.__setitem__,
    )
    for name, score in scores.items():
        assert together[name] == family_of(score, pool)


@given(st.lists(st.frozensets(st.integers(0, 6), min_size=1, max_size=4), max_size=6))
def test_hitting_sets_are_those_of_brute_force(family):
    pool = features(7)
    own = [frozenset(pool[i] for i in one) for one in family]
    found = NO_SETS
    for one in own:
        found = found.and_of(one, at_most=10_000)
    every = [frozenset(c) for size in range(8) for c in combinations(pool, size)]
    hitting = [one for one in every if all(one & other for other in own)]
    minimal = [one for one in hitting if not any(smaller < one for smaller in hitting)]
    assert set(found.minimal) == set(minimal)
    assert len(found.minimal) == len(minimal)
    assert found.whole


def test_hitting_sets_left_out_are_not_forgotten():
    """Ten disjoint pairs have 1024; with room for 50, fifty true ones are kept, and it is said."""
    pool = features(20)
    found = NO_SETS
    for i in range(0, 20, 2):
        found = found.and_of(frozenset(pool[i : i + 2]), at_most=50)
    assert len(found.minimal) == 50
    assert not found.whole
    assert all(len(one) == 10 and all(one & pair for pair in found.family) for one in found.minimal)
