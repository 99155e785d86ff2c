"""Minimal sets within limits of side effects, of set functions whose answer is known."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float

from sae_audit.config import MinimalSettings, SideEffectSettings
from sae_audit.findings import MinimalSet
from sae_audit.minimal.asking import answered
from sae_audit.minimal.limited import Changes, Limits, limited_set
from sae_audit.minimal.search import minimal_set
from sae_audit.vocabulary import FeatureId, FeatureSet, Score
from tests.games import features, game, needs

SETTINGS = MinimalSettings()


def limits_of(
    kl: Mapping[FeatureId, float], tokens: Mapping[FeatureId, float] | None = None
) -> Limits:
    """Side effects that add up: each feature's KL, and its share of first tokens changed."""

    def changes(sets: Sequence[FeatureSet], _: slice) -> Float[np.ndarray, "set prompt change"]:
        return np.array(
            [
                [sum(kl.get(f, 0.0) for f in one), sum((tokens or {}).get(f, 0.0) for f in one)]
                for one in sets
            ]
        ).reshape(len(sets), 1, 2)

    return Limits(settings=SideEffectSettings(), changes=changes, n_prompts=1)


def searched(score: Score, pool: Sequence[FeatureId], limits: Limits) -> tuple[MinimalSet, ...]:
    """The set found without limits, and the one within them."""
    unlimited, _ = answered(minimal_set("p", [pool], SETTINGS), score)
    limited, _ = answered(limited_set(unlimited, [pool], SETTINGS, limits), score)
    return unlimited, limited


def test_a_feature_that_breaks_the_model_is_found_without_limits_alone():
    """One feature of the whole stream flips at once; two features of refusal do it without harm."""
    pool = features(10)
    dense, first, second = pool[0], pool[3], pool[6]

    def value(ablated: FeatureSet) -> float:
        return -5.0 if dense in ablated else 3.0 - 2.0 * len(ablated & {first, second})

    unlimited, limited = searched(game(value), pool, limits_of({dense: 0.42}))
    assert unlimited.features == (dense,)
    assert limited.features == (first, second)
    assert limited.certified
    assert limited.excluded == (dense,)
    assert limited.n_candidates == len(pool)
    assert limited.n_sets_scored > unlimited.n_sets_scored


def test_a_set_within_the_limits_stays_as_it_is():
    pool = features(6)
    unlimited, limited = searched(needs(pool[1], pool[2]), pool, limits_of({pool[1]: 0.09}))
    assert limited == unlimited


def test_if_every_flip_breaks_the_model_there_is_no_set_and_it_says_so():
    pool = features(6)
    unlimited, limited = searched(needs(pool[2]), pool, limits_of({pool[2]: 0.2}))
    assert unlimited.flipped
    assert not limited.flipped
    assert not limited.certified
    assert limited.features == ()
    assert limited.candidates_score == unlimited.candidates_score
    assert "only by sets beyond the side-effect limits" in limited.reason
    assert "without the 1 of 6 candidates" in limited.reason
    assert "+3.00, need < 0" in limited.reason


def test_a_pool_that_is_given_up_whole_says_so():
    pool = features(1)
    _, limited = searched(needs(pool[0]), pool, limits_of({pool[0]: 9.0}))
    assert not limited.flipped
    assert "without the 1 of 1 candidates" in limited.reason


def test_first_tokens_have_a_limit_of_their_own():
    pool = features(5)
    _, limited = searched(needs(pool[2]), pool, limits_of({}, {pool[2]: 0.0625}))
    assert not limited.flipped
    _, limited = searched(needs(pool[2]), pool, limits_of({}, {pool[2]: 0.03125}))
    assert limited.flipped


def test_features_known_to_be_beyond_the_limits_leave_the_pool_at_once():
    pool = features(8)
    unlimited, _ = answered(minimal_set("p", [pool], SETTINGS), needs(pool[1]))
    kl = {pool[1]: 0.3, pool[4]: 0.3, pool[5]: 0.05}
    limited, _ = answered(
        limited_set(
            unlimited, [pool], SETTINGS, limits_of(kl), beyond=frozenset({pool[1], pool[4]})
        ),
        needs(pool[1]),
    )
    assert set(limited.excluded) == {pool[1], pool[4]}


def test_a_search_ends_with_the_first_set_given_up_that_is_larger_than_asked_for():
    """Two ways to flip, of three features and of four, both beyond the limits."""
    pool = features(9)
    three, four = frozenset(pool[:3]), frozenset(pool[3:7])

    def value(ablated: FeatureSet) -> float:
        return -1.0 if three <= ablated or four <= ablated else 2.0

    limits = limits_of({pool[0]: 0.3, pool[3]: 0.3})
    unlimited, whole = searched(game(value), pool, limits)
    assert "only by sets beyond" in whole.reason
    assert whole.largest_given_up == 4
    first = len(unlimited.features)
    for most, most_given_up in ((2, math.inf), (3, math.inf), (math.inf, 0), (math.inf, 1)):
        search = limited_set(
            unlimited, [pool], SETTINGS, limits, most=most, most_given_up=most_given_up
        )
        ended, _ = answered(search, game(value))
        assert ended.flipped
        assert not limits.hold(frozenset(ended.features))
        at_once = most < first or most_given_up == 0
        assert ended.largest_given_up == (first if at_once else 4)
    ended, _ = answered(limited_set(unlimited, [pool], SETTINGS, limits, most=4), game(value))
    assert ended == whole


def test_large_sets_are_given_up_in_few_searches():
    """Any 20 of 140 features flip; of those that cost something, more than 9 are beyond the limits."""
    pool = features(140)
    free = frozenset(pool[3::10])
    kl = {f: 0.011 for f in pool if f not in free}
    searches = 0
    score = game(lambda ablated: 19.5 - len(ablated))

    def changes(
        sets: Sequence[FeatureSet], prompts: slice
    ) -> Float[np.ndarray, "set prompt change"]:
        nonlocal searches
        # A set that flips is asked about at the end of a search alone; without a feature it does not.
        searches += sum(float(score([one])[0]) < 0.0 for one in sets)
        return limits_of(kl).changes(sets, prompts)

    limits = Limits(settings=SideEffectSettings(), changes=changes, n_prompts=1)
    _, limited = searched(score, pool, limits)
    assert limited.certified
    assert limits.hold(frozenset(limited.features))
    assert len(free.intersection(limited.features)) >= 11
    assert not free.intersection(limited.excluded), "what costs nothing stays"
    assert len(limited.excluded) > 50
    assert searches < 20


def test_a_set_within_the_limits_is_found_however_large():
    pool = features(6)
    unlimited, _ = answered(minimal_set("p", [pool], SETTINGS), needs(*pool[:4]))
    limited, _ = answered(
        limited_set(unlimited, [pool], SETTINGS, limits_of({}), most=1), needs(*pool[:4])
    )
    assert limited == unlimited
    assert limited.largest_given_up == 0


def test_of_features_that_are_beyond_the_limits_only_together_the_costliest_goes():
    pool = features(4)
    limits = limits_of({pool[0]: 0.03, pool[1]: 0.08, pool[2]: 0.02})
    assert limits.costliest(frozenset(pool)) == (pool[1],)


@given(
    effects=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=8),
    costs=st.lists(st.floats(0.0, 0.2), min_size=8, max_size=8),
    clean=st.floats(0.5, 6.0),
)
def test_whatever_is_found_flips_is_minimal_and_is_within_the_limits(
    effects: list[float], costs: list[float], clean: float
):
    pool = features(len(effects))
    weight, kl = dict(zip(pool, effects, strict=True)), dict(zip(pool, costs, strict=False))
    limits = limits_of(kl)
    unlimited, limited = searched(
        game(lambda ablated: clean - sum(weight[f] for f in ablated)), pool, limits
    )
    if limited.flipped:
        assert limited.certified
        assert limits.hold(frozenset(limited.features))
        assert not set(limited.features) & set(limited.excluded)
    elif unlimited.flipped:
        assert limited.excluded
        assert limited.reason
        assert limited.ablated_score >= 0.0


def test_no_change_is_asked_of_a_prompt_that_nothing_flips():
    def never(sets: Sequence[FeatureSet], _: slice) -> Float[np.ndarray, "set prompt change"]:
        raise AssertionError(sets)

    changes: Changes = never
    limits = Limits(settings=SideEffectSettings(), changes=changes, n_prompts=1)
    pool = features(3)
    unlimited, limited = searched(game(lambda _: 2.0), pool, limits)
    assert limited == unlimited


@given(
    kl=st.lists(st.lists(st.floats(0.0, 0.6), min_size=11, max_size=11), min_size=1, max_size=7),
    tokens=st.lists(
        st.lists(st.sampled_from([0.0, 0.0, 0.0, 1.0]), min_size=11, max_size=11),
        min_size=7,
        max_size=7,
    ),
)
def test_measuring_on_fewer_prompts_changes_no_answer(
    kl: list[list[float]], tokens: list[list[float]]
):
    """A feature's changes on each of 11 prompts; those of sets add up."""
    pool = features(len(kl))
    each = dict(zip(pool, np.dstack([kl, tokens[: len(kl)]]), strict=True))

    def changes(
        sets: Sequence[FeatureSet], prompts: slice
    ) -> Float[np.ndarray, "set prompt change"]:
        zero = np.zeros((11, 2))
        return np.array([sum((each[f] for f in one), zero)[prompts] for one in sets])

    limits = Limits(settings=SideEffectSettings(), changes=changes, n_prompts=11)
    whole = frozenset(pool)
    sets = [frozenset([feature]) for feature in pool]
    excess = limits.excess([*sets, *(whole - one for one in sets)])
    alone, without = excess[: len(pool)], excess[len(pool) :]
    assert limits.beyond(sets).tolist() == (alone > 1.0).tolist()
    early = limits.beyond(sets, most_prompts=5)
    assert all(alone[early] > 1.0), "only what is certain"
    given_up = limits.costliest(whole)
    if any(alone > 1.0):
        assert given_up == tuple(f for f, one in zip(pool, alone, strict=True) if one > 1.0)
    else:
        assert given_up == (pool[int(np.argmin(without))],)


def test_the_costliest_feature_is_that_of_all_prompts_whatever_the_first_ones_say():
    """One costs .06 nats in the mean, all of it on the first prompts; the other .09, on the last."""
    early, late = pool = features(2)
    costs = {early: np.repeat([0.18, 0.0], [4, 8]), late: np.repeat([0.0, 0.135], [4, 8])}

    def changes(
        sets: Sequence[FeatureSet], prompts: slice
    ) -> Float[np.ndarray, "set prompt change"]:
        kl = np.array([sum((costs[f] for f in one), np.zeros(12))[prompts] for one in sets])
        return np.stack([kl, np.zeros_like(kl)], axis=2)

    limits = Limits(settings=SideEffectSettings(), changes=changes, n_prompts=12)
    assert not limits.hold(frozenset(pool))
    assert limits.costliest_alone(pool, 1) == (early,), "as the first prompts say"
    assert limits.costliest(frozenset(pool)) == (late,)


def test_a_set_far_beyond_the_limits_is_measured_on_few_prompts():
    asked: list[int] = []

    def changes(
        sets: Sequence[FeatureSet], prompts: slice
    ) -> Float[np.ndarray, "set prompt change"]:
        n = len(range(32)[prompts])
        asked.append(n * len(sets))
        return np.full((len(sets), n, 2), 5.0)

    limits = Limits(settings=SideEffectSettings(), changes=changes, n_prompts=32)
    assert not limits.hold(frozenset(features(2)))
    assert sum(asked) == 4
