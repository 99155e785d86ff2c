"""Minimal sets of set functions whose minimal sets are known."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sae_audit.config import MinimalSettings
from sae_audit.findings import MinimalSet
from sae_audit.minimal.asking import answered, answered_together
from sae_audit.minimal.elimination import eliminate
from sae_audit.minimal.pooled import Pooled, pooled_set
from sae_audit.minimal.search import minimal_set
from sae_audit.vocabulary import FeatureId, FeatureSet, Score
from tests.games import features, game, needs
from tests.synthetic.findings import minimal
from tests.unit.minimal.test_limited import limits_of

SEARCHES = ["splitting", "delta_debugging", "greedy", "elimination"]


@pytest.fixture(params=SEARCHES)
def settings(request: pytest.FixtureRequest) -> MinimalSettings:
    return MinimalSettings(search=request.param)


def found_in(
    score: Score, pool: Sequence[FeatureId], settings: MinimalSettings, prompt_id: str = "p"
) -> MinimalSet:
    found, n_asked = answered(minimal_set(prompt_id, [pool], settings), score)
    assert found.n_sets_scored == n_asked, "a search reports every set it asked about"
    return found


def test_the_two_features_that_are_needed_are_found(settings: MinimalSettings):
    pool = features(20)
    found = found_in(needs(pool[3], pool[7]), pool, settings)
    assert found.features == (pool[3], pool[7])
    assert found.certified
    assert found.score_without == {pool[3]: 3.0, pool[7]: 3.0}


def test_of_two_ways_one_is_found(settings: MinimalSettings):
    pool = features(12)
    ways = [{pool[1], pool[2]}, {pool[5]}]
    score = game(lambda ablated: -1.0 if any(way <= ablated for way in ways) else 2.0)
    found = found_in(score, pool, settings)
    assert set(found.features) in ways
    assert found.certified


def test_a_prompt_that_nothing_flips_says_so(settings: MinimalSettings):
    pool = features(5)
    found = found_in(game(lambda ablated: 4.0 - 0.5 * len(ablated)), pool, settings)
    assert not found.flipped
    assert not found.certified
    assert found.ablated_score == 1.5
    assert "leaves the refusal score at +1.50, need < 0" in found.reason


def test_a_score_of_exactly_zero_has_not_flipped(settings: MinimalSettings):
    pool = features(3)
    found = found_in(game(lambda ablated: 3.0 - len(ablated)), pool, settings)
    assert not found.flipped


@pytest.mark.parametrize("search", SEARCHES)
@given(effects=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=9), clean=st.floats(0.5, 6.0))
def test_every_set_found_is_one_minimal_by_brute_force(
    search: Any, effects: list[float], clean: float
):
    pool = features(len(effects))
    weight = dict(zip(pool, effects, strict=True))

    def value(ablated: FeatureSet) -> float:
        return clean - sum(weight[f] for f in ablated)

    found = found_in(game(value), pool, MinimalSettings(search=search))
    assert found.flipped == (value(frozenset(pool)) < 0.0)
    if found.flipped:
        assert value(frozenset(found.features)) < 0.0
        for smaller in combinations(found.features, len(found.features) - 1):
            assert value(frozenset(smaller)) >= 0.0


def test_effects_that_are_not_monotone_still_end_in_a_certificate(settings: MinimalSettings):
    """Feature 0 restores refusal unless feature 1 is ablated with it."""
    a, b, c = pool = features(3)

    def value(ablated: FeatureSet) -> float:
        score = 2.0 - 3.0 * (c in ablated)
        return score + 2.0 * (a in ablated and b not in ablated)

    assert found_in(game(value), pool, settings).features == (c,)


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
        answered(eliminate(pool, spares, patience=patience), score)[0]
        == answered(eliminate(pool, spares, patience=1), score)[0]
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


@pytest.mark.parametrize("search", SEARCHES)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_score_at_all_ends_in_a_certificate(search: Any, seed: int):
    """Scores without rhyme or reason: what is found may differ, that it is certified may not."""
    random = np.random.default_rng(seed)
    table: dict[FeatureSet, float] = {}
    pool = features(10)
    score = game(lambda ablated: table.setdefault(ablated, float(random.normal())))
    found = found_in(score, pool, MinimalSettings(search=search))
    assert found.certified == found.flipped


def test_what_greedy_filtering_keeps_is_recorded_apart_from_what_elimination_leaves():
    """Four features change the refusal probability by a third each; one of them flips alone."""
    needed, *bystanders, idle, other = pool = features(6)

    def value(ablated: FeatureSet) -> float:
        return 3.0 - 4.0 * (needed in ablated) - 0.5 * len(ablated.intersection(bystanders))

    found = found_in(game(value), pool, MinimalSettings(search="greedy"))
    assert found.filtered == (needed, *bystanders)
    assert found.features == (needed,)
    # If nothing changes the probability by its own size, the filter keeps only what the flip needs.
    strict = found_in(game(value), pool, MinimalSettings(search="greedy", tau=1e9))
    assert strict.filtered == strict.features == (needed,)
    assert not {idle, other} & set(found.filtered or ())


def test_other_searches_and_prompts_that_stay_refused_have_no_filtered_set(
    settings: MinimalSettings,
):
    pool = features(5)
    assert found_in(game(lambda _: 1.0), pool, settings).filtered is None
    found = found_in(needs(pool[2]), pool, settings)
    assert (found.filtered is not None) == (settings.search == "greedy")


@given(seed=st.integers(0, 2**32 - 1))
def test_a_filtered_set_flips_and_holds_the_minimal_one(seed: int):
    random = np.random.default_rng(seed)
    table: dict[FeatureSet, float] = {}
    pool = features(8)
    score = game(lambda ablated: table.setdefault(ablated, float(random.normal())))
    found = found_in(score, pool, MinimalSettings(search="greedy"))
    if found.flipped:
        assert found.filtered is not None
        assert table[frozenset(found.filtered)] < 0.0
        assert set(found.features) <= set(found.filtered)


@pytest.mark.parametrize(("n", "m"), [(256, 2), (256, 5), (1000, 3)])
def test_splitting_asks_m_log_n_questions(n: int, m: int):
    """The needed features anywhere in the order: 16 heads a round make log n two or three rounds."""
    pool = features(n)
    random = np.random.default_rng(n + m)
    for _ in range(10):
        needed = [pool[i] for i in random.choice(n, m, replace=False)]
        settings = MinimalSettings(search="splitting", patience=1)
        found = found_in(needs(*needed), pool, settings)
        assert found.features == tuple(sorted(needed))
        # A head of n is found by at most log2(n) doublings and as many halvings.
        assert found.n_sets_scored <= 2 + 2 * (m + 1) * (int(np.log2(n)) + 2) + m + 1


@pytest.mark.parametrize("needed_first", [True, False])
def test_splitting_takes_a_quarter_of_eliminations_questions_at_most(needed_first: bool):
    pool = features(256)
    order = pool if needed_first else pool[::-1]
    score = needs(pool[1], pool[4], pool[7])
    split = found_in(score, order, MinimalSettings(search="splitting"))
    eliminated = found_in(score, order, MinimalSettings(search="elimination", patience=1))
    assert split.features == eliminated.features
    assert split.n_sets_scored < eliminated.n_sets_scored / 4


def test_of_several_orders_the_smallest_set_is_kept():
    pool = features(20)
    ways = [{pool[0], pool[1], pool[2]}, {pool[10], pool[11]}]
    score = game(lambda ablated: -1.0 if any(way <= ablated for way in ways) else 2.0)
    sizes = {
        name: len(answered(minimal_set("p", orders, MinimalSettings()), score)[0].features)
        for name, orders in {
            "first": [pool],
            "last": [pool[::-1]],
            "both": [pool, pool[::-1]],
        }.items()
    }
    assert sizes == {"first": 3, "last": 2, "both": 2}


def test_orders_of_other_candidates_are_our_mistake():
    pool = features(4)
    with pytest.raises(AssertionError):
        answered(minimal_set("p", [pool, pool[:3]], MinimalSettings()), game(lambda _: -1.0))


def test_searches_in_step_find_what_each_finds_alone():
    """One call answers a round of all; a search that ends early drops out of the next."""
    pool = features(40)
    scores = {"p": needs(pool[3]), "q": needs(pool[1], pool[30]), "r": game(lambda _: 1.0)}
    settings = MinimalSettings()
    together: dict[str, MinimalSet] = {}
    rounds: list[dict[str, int]] = []
    answered_together(
        {name: minimal_set(name, [pool], settings) for name in scores},
        lambda questions: np.array([scores[name]([ablated])[0] for name, ablated in questions]),
        done=together.__setitem__,
        asked=lambda n: rounds.append(dict(n)),
    )
    for name, score in scores.items():
        assert together[name] == found_in(score, pool, settings, name)
        assert sum(n.get(name, 0) for n in rounds) == together[name].n_sets_scored
    assert len(rounds[0]) == 3
    assert "r" not in rounds[1]


def test_the_pooled_set_serves_all_prompts_and_is_tried_on_others():
    a, b, *_ = pool = features(6)
    scores = {"p1": needs(a), "p2": needs(b), "p3": needs(a), "p4": needs(pool[5])}
    settings = MinimalSettings()
    sets = [found_in(score, pool, settings, name) for name, score in scores.items()]
    pooled = pooled_set(
        scores, sets, built_on=["p1", "p2"], held_out=["p3", "p4"], patience=8, limits=None
    )
    assert pooled.features == {a, b}
    assert pooled.excluded == ()
    assert pooled.flipped_built.value == 1.0
    assert pooled.flipped_held_out.value == 0.5
    assert pooled.share_without == {a: 0.5, b: 0.5}


@example(seed=24943)  # All features together flip no building prompt: a prompt's own set is taken.
@given(seed=st.integers(0, 2**32 - 1))
def test_a_pooled_set_is_certified_whatever_the_scores(seed: int):
    """Scores without rhyme or reason: what was needed early may be spared once others have gone."""
    random = np.random.default_rng(seed)
    tables: dict[str, dict[FeatureSet, float]] = {f"p{i}": {} for i in range(6)}
    pool = features(8)

    def score_of(table: dict[FeatureSet, float]) -> Score:
        table |= {frozenset(): 1.0, frozenset(pool): -1.0}
        return game(lambda ablated: table.setdefault(ablated, float(random.normal())))

    scores = {name: score_of(table) for name, table in tables.items()}
    settings = MinimalSettings(search="elimination")
    sets = [found_in(score, pool, settings, name) for name, score in scores.items()]
    names = list(scores)
    pooled = pooled_set(
        scores, sets, built_on=names[:4], held_out=names[4:], patience=4, limits=None
    )
    built = pooled.flipped_built.value
    assert all(without < built for without in pooled.share_without.values()), "none can be spared"
    assert pooled.share_without.keys() == pooled.features
    whole = pooled.features
    flipped = sum(tables[name][whole] < 0.0 for name in names[:4])
    assert pooled.flipped_built.value == flipped / 4
    for feature, without in pooled.share_without.items():
        assert sum(tables[name][whole - {feature}] < 0.0 for name in names[:4]) / 4 == without


class TestPooledWithinLimits:
    """Two prompts share a feature that breaks the model, and have one each that does not."""

    def pooled(self, kl: dict[FeatureId, float]) -> Pooled:
        dense, first, second, *_ = features(5)
        scores = {
            name: game(lambda ablated, own=own: -1.0 if ablated & {dense, own} else 2.0)
            for name, own in (("p1", first), ("p2", second), ("p3", first))
        }
        sets = [minimal(name, dense) for name in ("p1", "p2")]
        sets += [minimal("p1", first), minimal("p2", second)]
        limits = limits_of(kl)
        return pooled_set(
            scores, sets, built_on=["p1", "p2"], held_out=["p3"], patience=4, limits=limits
        )

    def test_a_feature_beyond_them_is_given_up_for_those_within(self):
        dense, first, second, *_ = features(5)
        assert self.pooled({}).features == {dense}
        found = self.pooled({dense: 0.3})
        assert found.features == {first, second}
        assert found.excluded == (dense,)
        assert found.flipped_held_out.value == 1.0

    def test_if_what_is_left_flips_nothing_the_best_set_of_one_prompt_is_taken(self):
        """Each prompt's own set is within the limits, both features together are not."""
        dense, first, second, *_ = features(5)
        found = self.pooled({dense: 0.3, first: 0.08, second: 0.07})
        assert found.features in ({first}, {second})
        assert found.flipped_built.value == 0.5


def test_no_candidates_is_our_mistake():
    with pytest.raises(AssertionError):
        answered(minimal_set("p", [[]], MinimalSettings()), game(lambda _: 1.0))
