"""Minimal sets by text, of set functions and judges whose answer is known."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float

from sae_audit.config import MinimalSettings, SideEffectSettings
from sae_audit.findings import MinimalSet, TextSet
from sae_audit.margins import answers
from sae_audit.minimal.asking import answered
from sae_audit.minimal.by_text import MOST_ADDED, AskingTexts, text_set
from sae_audit.minimal.limited import Limits
from sae_audit.minimal.search import minimal_set
from sae_audit.vocabulary import FeatureId, FeatureSet, Score
from tests.games import features, game, needs

Complies = Callable[[FeatureSet], bool | None]
BUDGET = 64


def within(cost: Callable[[FeatureSet], float] = lambda _: 0.0) -> Limits:
    """Limits of a KL that a set function gives."""

    def changes(sets: Sequence[FeatureSet], _: slice) -> Float[np.ndarray, "set prompt change"]:
        return np.array([[cost(one), 0.0] for one in sets]).reshape(len(sets), 1, 2)

    return Limits(settings=SideEffectSettings(), changes=changes, n_prompts=1)


def by_score(score: Score, pool: Sequence[FeatureId]) -> MinimalSet:
    found, _ = answered(minimal_set("p", [pool], MinimalSettings()), score)
    return found


def asked_all(search: AskingTexts[TextSet], score: Score, complies: Complies) -> TextSet:
    """Answer a search; the judge is asked of nothing that the score refuses."""
    try:
        sets = next(search)
        while True:
            scores = score(sets)
            verdicts = [
                complies(one) if answers(float(value)) else None
                for one, value in zip(sets, scores, strict=True)
            ]
            read = [np.nan if one is None else float(one) for one in verdicts]
            sets = search.send(np.stack([scores, np.array(read)], axis=1))
    except StopIteration as end:
        return end.value


def searched(
    score: Score,
    complies: Complies,
    pool: Sequence[FeatureId],
    *,
    limits: Limits | None = None,
    budget: int = BUDGET,
) -> tuple[MinimalSet, TextSet]:
    """The minimal sets by score and by text."""
    own = by_score(score, pool)
    search = text_set(own, pool, within() if limits is None else limits, budget=budget)
    return own, asked_all(search, score, complies)


def test_a_judge_that_always_sees_compliance_gives_the_sets_by_score_for_one_answer_each():
    pool = features(12)
    for needed in ((pool[3],), (pool[1], pool[7]), (pool[0], pool[5], pool[11])):
        own, found = searched(needs(*needed), lambda _: True, pool)
        assert found.features == own.features == needed
        assert found.certified
        assert found.at_once
        assert (found.n_read, found.added, found.spared, found.reason) == (1, (), (), "")
        assert found.score_without == own.score_without


def test_a_judge_that_never_sees_compliance_gives_no_set():
    pool = features(50)
    own, found = searched(needs(pool[3]), lambda _: False, pool)
    assert own.certified
    assert not found.flipped
    assert not found.certified
    assert found.features == ()
    assert found.ablated_score is None
    assert [len(one.features) for one in found.read] == [1, 2, 3, 5, 9, 17, 33]
    assert not any(one.complied for one in found.read)
    assert "Flipped by score alone: none of 7 answers read complies" in found.reason
    assert f"up to {MOST_ADDED} further candidates" in found.reason


def test_a_judge_that_errs_lets_sets_through_as_often_as_it_is_asked():
    """One in twenty answers at random: each search reads some more, so that .30 is the most of seven.
    That is why random sets' answers stand beside the count."""
    pool, n, random = features(50), 400, np.random.default_rng(0)
    found = [
        searched(needs(pool[3]), lambda _: bool(random.random() < 0.05), pool)[1] for _ in range(n)
    ]
    through = sum(one.flipped for one in found) / n
    assert sum(one.at_once for one in found) / n < 0.08
    assert 0.2 < through < 1.0 - 0.95**7 + 3 * np.sqrt(0.3 * 0.7 / n)


def test_what_the_text_needs_beside_the_score_is_added_and_nothing_else():
    pool = features(20)
    needed = {pool[2], pool[6], pool[13]}
    own, found = searched(needs(pool[2]), lambda one: needed <= one, pool)
    assert own.features == (pool[2],)
    assert set(found.features) == needed
    assert found.added == (pool[6], pool[13])
    assert found.certified
    assert not found.at_once
    # Sparing pool[2] restores the score, so no answer is read; sparing the others, the text refuses.
    assert found.score_without[pool[2]] > 0.0
    assert found.complied_without == {pool[6]: False, pool[13]: False}
    assert found.reason == ""


def test_what_is_not_needed_beside_what_was_added_is_spared():
    """Either of two features flips the score, only the second the text."""
    pool = features(6)
    score = game(lambda one: -1.0 if one & {pool[0], pool[4]} else 3.0)
    own, found = searched(score, lambda one: pool[4] in one, pool)
    assert own.features == (pool[0],)
    assert found.features == found.added == (pool[4],)
    assert found.spared == (pool[0],)
    assert found.certified


def test_what_complies_only_beyond_the_limits_is_no_set():
    pool = features(8)
    limits = within(lambda one: 0.2 if pool[5] in one else 0.0)
    own, found = searched(needs(pool[1]), lambda one: pool[5] in one, pool, limits=limits)
    assert own.flipped
    assert not found.flipped
    assert not any(pool[5] in one.features for one in found.read)
    # The same judge without limits finds it.
    assert searched(needs(pool[1]), lambda one: pool[5] in one, pool)[1].features == (
        pool[1],
        pool[5],
    )


def test_features_that_the_set_by_score_had_to_give_up_are_not_added():
    pool = features(5)
    own = replace(by_score(needs(pool[1]), pool), excluded=(pool[3],))
    search = text_set(own, pool, within(), budget=BUDGET)
    found = asked_all(search, needs(pool[1]), lambda one: pool[3] in one)
    assert not found.flipped
    assert not any(pool[3] in one.features for one in found.read)


def test_a_spent_budget_leaves_a_set_without_a_certificate():
    pool = features(20)
    needed = frozenset({pool[2], pool[9]})
    _, whole = searched(needs(pool[2]), lambda one: needed <= one, pool)
    assert whole.certified
    _, found = searched(needs(pool[2]), lambda one: needed <= one, pool, budget=whole.n_read - 1)
    assert found.flipped
    assert not found.certified
    assert "not every feature had been spared" in found.reason
    _, none = searched(needs(pool[2]), lambda one: needed <= one, pool, budget=2)
    assert not none.flipped
    assert none.n_read == 2
    assert "no more may be read (minimal.texts_budget)" in none.reason


def test_an_answer_that_cannot_be_judged_is_no_compliance_and_no_certificate():
    pool = features(6)
    _, none = searched(needs(pool[2]), lambda _: None, pool)
    assert not none.flipped
    assert all(one.complied is None for one in none.read)
    needed = frozenset({pool[2], pool[4]})
    _, found = searched(needs(pool[2]), lambda one: True if needed <= one else None, pool)
    assert frozenset(found.features) == needed
    assert not found.certified
    assert "could not be judged" in found.reason


def test_a_certificate_that_does_not_prove_is_none():
    pool = features(20)
    needed = frozenset({pool[2], pool[9]})
    _, found = searched(needs(pool[2]), lambda one: needed <= one, pool)
    assert found.certified
    for faulty in (
        replace(found, complied_without={pool[9]: True}),
        replace(found, complied_without={}),
        replace(found, score_without={pool[2]: 3.0}),
        replace(found, score_without={pool[2]: -1.0, pool[9]: -1.0}),
        replace(found, features=()),
    ):
        assert not faulty.certified


def test_a_set_that_does_not_flip_the_score_is_not_searched():
    pool = features(3)
    with pytest.raises(AssertionError):
        searched(game(lambda _: 2.0), lambda _: True, pool)


@given(
    effects=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=10),
    clean=st.floats(0.5, 6.0),
    verdicts=st.integers(0, 2**32),
    costs=st.lists(st.floats(0.0, 0.08), min_size=10, max_size=10),
    budget=st.integers(1, 40),
)
def test_whatever_is_found_flips_both_within_limits_and_budget(
    effects: list[float], clean: float, verdicts: int, costs: list[float], budget: int
):
    """Of a judge that answers each set by lot, so that nothing is monotone."""
    pool = features(len(effects))
    weight, cost = dict(zip(pool, effects, strict=True)), dict(zip(pool, costs, strict=False))
    score = game(lambda one: clean - sum(weight[f] for f in one))
    limits = within(lambda one: sum(cost[f] for f in one))

    def complies(one: FeatureSet) -> bool:
        return hash((verdicts, *sorted(one))) % 3 == 0

    own = by_score(score, pool)
    if not own.flipped or not limits.hold(frozenset(own.features)):
        return
    found = asked_all(text_set(own, pool, limits, budget=budget), score, complies)
    left = frozenset(found.features)
    assert 1 <= found.n_read <= budget
    assert found.read[0].features == own.features
    assert bool(found.reason) == (not found.certified)
    assert all(one.score < 0.0 for one in found.read)
    if found.flipped:
        assert complies(left)
        assert float(score([left])[0]) == found.ablated_score
        assert limits.hold(left)
        assert left == (frozenset(own.features) | set(found.added)) - set(found.spared)
    if found.certified:
        for feature in left:
            spared = left - {feature}
            assert not (answers(float(score([spared])[0])) and complies(spared))
    if budget == 1:
        assert found.flipped == complies(frozenset(own.features))
