"""Every rule that draws random features in the place of given ones, held to the same promises."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.sampling import (
    enough_left,
    matched_random_features,
    matched_random_sets,
    nearest,
    random_candidates,
    random_stand_ins,
    sets_of_equal_norm,
)
from sae_audit.vocabulary import FeatureId, FeatureSet

LAYERS, D_SAE, N_SETS = (0, 1), 200, 25
STATISTIC = {
    # In no order of the index, so that neighbours of a rank are no neighbours of an index.
    layer: np.random.default_rng(layer).permutation(np.linspace(0.0, 1.0, D_SAE))
    for layer in LAYERS
}
"""What is matched: each value once a layer, a two-hundredth from the next."""
OWN = frozenset(FeatureId(layer, index) for layer, index in ((0, 10), (0, 11), (0, 70), (1, 150)))
Values = dict[int, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """A rule: sets in the place of `own`, given what is matched, what is excluded, and a seed."""

    sets: Callable[[FeatureSet, Values, Collection[FeatureId], int], list[FeatureSet]]
    farthest: float
    """Between a feature and its stand-in, where a layer has others enough."""


def _matched(own: FeatureSet, values: Values, excluded: Collection[FeatureId], seed: int):
    return matched_random_sets(own, values, excluded=excluded, n_sets=N_SETS, seed=seed)


def every(values: Values) -> dict[int, np.ndarray]:
    """All features may be candidates."""
    return {layer: np.ones(len(own), bool) for layer, own in values.items()}


def _candidates(own: FeatureSet, values: Values, _: Collection[FeatureId], seed: int):
    """Whole pools, from which nothing is excluded."""
    drawn = [
        random_candidates(sorted(own), values, every(values), seed=(seed, i)) for i in range(N_SETS)
    ]
    assert all(len(one) == len(set(one)) == len(own) for one in drawn)
    return [frozenset(one) for one in drawn]


def _stand_ins(own: FeatureSet, values: Values, excluded: Collection[FeatureId], seed: int):
    firing = {
        FeatureId(layer, i): float(v) for layer in values for i, v in enumerate(values[layer])
    }
    return random_stand_ins(own, firing, excluded=excluded, n_sets=N_SETS, seed=seed)


def summed(values: Values) -> Callable[[FeatureSet], float]:
    """Norm removed by features of one layer that all point one way."""
    return lambda chosen: float(sum(values[one.layer][one.index] for one in chosen))


def _equal_norm(own: FeatureSet, values: Values, excluded: Collection[FeatureId], seed: int):
    return sets_of_equal_norm(
        own, values, summed(values), excluded=excluded, n_sets=N_SETS, seed=seed
    )


DRAWS = {
    "sets_of_equal_norm": Draw(sets=_equal_norm, farthest=0.13),
    "matched_random_sets": Draw(sets=_matched, farthest=0.13),
    "random_candidates": Draw(sets=_candidates, farthest=0.13),
    "random_stand_ins": Draw(sets=_stand_ins, farthest=0.13),
}


@pytest.fixture(params=DRAWS)
def draw(request: pytest.FixtureRequest) -> Draw:
    return DRAWS[request.param]


@pytest.fixture(params=["matched_random_sets", "random_stand_ins"])
def excluding(request: pytest.FixtureRequest) -> Draw:
    """The rules that draw none of the given features."""
    return DRAWS[request.param]


def values_of(chosen: Collection[FeatureId], layer: int) -> list[float]:
    return sorted(STATISTIC[layer][one.index] for one in chosen if one.layer == layer)


def farthest(chosen: FeatureSet) -> float:
    """Widest distance of the matched statistic, each layer's features paired in its order."""
    apart = [np.subtract(values_of(chosen, n), values_of(OWN, n)) for n in LAYERS]
    return float(np.abs(np.concatenate(apart)).max())


def test_as_many_in_the_same_layers(draw: Draw):
    for drawn in draw.sets(OWN, STATISTIC, OWN, 0):
        assert Counter(one.layer for one in drawn) == Counter(one.layer for one in OWN)


def test_never_an_own_one(excluding: Draw):
    assert not any(drawn & OWN for drawn in excluding.sets(OWN, STATISTIC, OWN, 0))


def test_a_feature_is_in_a_pool_as_often_whether_it_is_a_candidate_or_not():
    """The null of a search: a p-value by rank would be too small if lucky candidates were barred."""
    values = {0: STATISTIC[0]}
    draws, inside, outside = np.random.default_rng(0), [], []
    for i in range(1500):
        own = draws.choice(D_SAE, 20, replace=False)
        drawn = random_candidates(
            [FeatureId(0, int(j)) for j in own], values, every(values), seed=(0, i)
        )
        held = np.isin(np.arange(D_SAE), [one.index for one in drawn])
        inside.append(held[own].mean())
        outside.append(np.delete(held, own).mean())
    assert np.mean(inside) == pytest.approx(0.1, abs=0.015)
    assert np.mean(outside) == pytest.approx(0.1, abs=0.015)


def test_never_one_that_is_excluded(excluding: Draw):
    """Those nearest in what is matched are excluded, so that a rule would like to draw them."""
    near = sorted(range(D_SAE), key=lambda i: abs(STATISTIC[1][i] - STATISTIC[1][150]))[:12]
    excluded = OWN | {FeatureId(1, i) for i in near}
    free = excluding.sets(OWN, STATISTIC, OWN, 0)
    assert any(drawn & excluded for drawn in free), "they are drawn where they may be"
    assert not any(drawn & excluded for drawn in excluding.sets(OWN, STATISTIC, excluded, 0))


def test_what_is_matched_is_near(draw: Draw):
    assert max(map(farthest, draw.sets(OWN, STATISTIC, OWN, 0))) <= draw.farthest
    random = np.random.default_rng(0)
    anything = [
        frozenset(FeatureId(one.layer, int(random.integers(D_SAE))) for one in OWN)
        for _ in range(N_SETS)
    ]
    whole = [one for one in anything if len(one) == len(OWN)]
    assert np.mean([farthest(one) > draw.farthest for one in whole]) > 0.9, "the measure can fail"


def test_draws_differ_and_a_seed_repeats_them(draw: Draw):
    first, again, other = (draw.sets(OWN, STATISTIC, OWN, seed) for seed in (0, 0, 1))
    assert first == again
    assert len(set(first)) > N_SETS - 3
    assert not set(first) & set(other)


@pytest.mark.parametrize("rule", ["matched_random_sets", "random_candidates"])
def test_features_that_are_matched_alike_are_all_drawn(rule: str):
    """Most features of an SAE never fire on a few prompts: the first of these are no sample."""
    alike = {layer: np.zeros(D_SAE) for layer in LAYERS}
    sets = [one for seed in range(20) for one in DRAWS[rule].sets(OWN, alike, OWN, seed)]
    drawn = {one.index for chosen in sets for one in chosen if one.layer == 0}
    assert len(drawn) == D_SAE - (3 if rule == "matched_random_sets" else 0)


def test_a_layer_without_enough_others_is_known_before():
    own = frozenset(FeatureId(0, i) for i in range(3))
    assert enough_left(own, {0: np.zeros(6)})
    assert not enough_left(own, {0: np.zeros(5)})


@given(st.integers(1, 12), st.integers(0, 5))
def test_a_pool_always_has_its_stand_ins(n: int, seed: int):
    """Of 12 features, up to all of them candidates."""
    own, values = [FeatureId(0, i) for i in range(n)], {0: np.linspace(0, 1, 12)}
    drawn = random_candidates(own, values, every(values), seed=(seed,))
    assert len(set(drawn)) == n
    # Fewer others than places: some candidates stand in for each other.
    assert len(set(drawn) & set(own)) >= 2 * n - 12


def test_stand_ins_are_of_the_layer_and_nearest_in_strength():
    own, other_layer = FeatureId(0, 0), FeatureId(1, 0)
    weak, near, excluded = (FeatureId(0, i) for i in (1, 2, 3))
    firing = {own: 3.0, excluded: 2.9, weak: 1.0, near: 3.2, other_layer: 3.0}
    assert nearest(own, firing, excluded={excluded}, n=1) == [near]
    both = frozenset([own, other_layer])
    sets = random_stand_ins(both, firing, excluded=both, n_sets=5, seed=0)
    assert all(one <= {weak, near, excluded} and len(one) == 1 for one in sets), (
        "nothing else fires in the other's layer"
    )


NORMS = np.array([50.0, 30.0, *np.linspace(1.0, 20.0, 40)])
"""Of one layer's features alone; the first two are the found ones."""
FOUND = frozenset([FeatureId(0, 0), FeatureId(0, 1)])


def drawn_to_remove(target: float, removed: Callable[[FeatureSet], float], own: FeatureSet):
    """Sets in the place of one that removes `target`."""
    return sets_of_equal_norm(
        own,
        {0: NORMS},
        lambda chosen: target if chosen == own else removed(chosen),
        excluded=own,
        n_sets=10,
        seed=0,
    )


def at_right_angles(chosen: FeatureSet) -> float:
    return float(np.sqrt(sum(NORMS[one.index] ** 2 for one in chosen)))


def test_sets_remove_as_long_a_vector_where_others_can():
    """The found features, of 10 each, point one way: others have to be longer, at right angles."""
    own = frozenset([FeatureId(0, 20), FeatureId(0, 21)])
    together = float(NORMS[20] + NORMS[21])
    sets = drawn_to_remove(together, at_right_angles, own)
    assert len(set(sets)) > 3
    assert max(abs(at_right_angles(one) - together) for one in sets) < 0.1 * together


def test_where_no_others_remove_as_much_the_longest_are_taken():
    sets = drawn_to_remove(80.0, at_right_angles, FOUND)
    assert set(sets) == {frozenset([FeatureId(0, 40), FeatureId(0, 41)])}
    assert at_right_angles(sets[0]) < 0.9 * 80.0


def test_features_that_remove_nothing_are_replaced_by_such():
    norms = {0: np.array([0.0, 0.0, *np.linspace(1.0, 5.0, 30), *np.zeros(30)])}
    sets = sets_of_equal_norm(FOUND, norms, summed(norms), excluded=FOUND, n_sets=20, seed=0)
    assert all(one.index >= 32 for chosen in sets for one in chosen)
    assert len({one for chosen in sets for one in chosen}) > 15


class TestOneForEach:
    def test_draws_are_those_of_the_sets_and_say_who_stands_for_whom(self):
        free = frozenset({FeatureId(0, 3), FeatureId(0, 4)})
        sets = matched_random_sets(OWN, STATISTIC, excluded=free | OWN, n_sets=5, seed=3)
        drawn = matched_random_features(OWN, STATISTIC, excluded=free, n_draws=5, seed=3)
        assert [frozenset(one.values()) for one in drawn] == sets
        for one in drawn:
            assert one.keys() == OWN
            assert all(own.layer == other.layer for own, other in one.items())
            assert len(set(one.values())) == len(OWN), "none twice"
            assert not set(one.values()) & (OWN | free)

    def test_a_layer_without_others_has_none(self):
        rates = {0: np.linspace(0, 1, 4), 1: np.linspace(0, 1, 50)}
        full = frozenset(FeatureId(0, i) for i in range(3))
        drawn = matched_random_features(
            full | {FeatureId(1, 2)}, rates, excluded=(), n_draws=2, seed=0
        )
        assert [set(one) for one in drawn] == [{FeatureId(1, 2)}] * 2


def test_a_pool_is_drawn_from_features_that_may_be_candidates():
    values = {0: np.linspace(0, 1, 40)}
    some = {0: np.arange(40) % 2 == 0}
    own = [FeatureId(0, i) for i in (0, 10, 20)]
    drawn = {f.index for i in range(50) for f in random_candidates(own, values, some, seed=(i,))}
    assert drawn <= set(range(0, 40, 2))
    assert len(drawn) > 10
