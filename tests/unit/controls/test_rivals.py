"""Whether a pooled set beats its rivals, on models whose answers are given."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.controls.rivals import POOLED, Contest, Measured, curve_sizes, cut_down
from sae_audit.findings import Controls, Rivals, RivalTest
from sae_audit.vocabulary import FeatureId, FeatureSet
from tests.games import features

N = 12
A, B, X, Y, Z = features(5)
"""A and B together flip every prompt; X, Y and Z flip none."""
HARMLESS = np.array([0.0, 1.0, 2.0])
NONE, ALL = np.zeros(N, bool), np.ones(N, bool)


def effects(
    sets: Mapping[str, Mapping[int, Sequence[FeatureSet]]], kl: float = 0.05
) -> dict[FeatureSet, Measured]:
    """Every feature costs `kl` nats on average."""
    every = {one for by_size in sets.values() for tried in by_size.values() for one in tried}
    return {
        one: Measured(flips=ALL if {A, B} <= one else NONE, kl=len(one) * kl * HARMLESS)
        for one in every
    }


def heads(*ranking: FeatureId) -> dict[int, list[FeatureSet]]:
    return {n: [frozenset(ranking[:n])] for n in range(1, len(ranking) + 1)}


def contest(
    *,
    negligible: float = 0.0,
    parts: Mapping[float, Measured] | None = None,
    kl: float = 0.05,
    **rivals: Mapping[int, Sequence[FeatureSet]],
) -> Contest:
    sets = {POOLED: heads(A, B), **rivals}
    return Contest(sets, effects(sets, kl), parts or {}, size=2, negligible=negligible, seed=0)


def verdict(found: Contest, complied: Mapping[FeatureSet, np.ndarray] | None = None) -> Rivals:
    return found.result([], complied, level=0.02)


def test_rivals_that_need_twice_the_features_are_beaten():
    found = verdict(contest(mean_difference=heads(X, Y, A, B), attribution=heads(Z, X, Y, A)))
    assert found.beats_rivals
    assert found.unbeaten == []
    assert found.p_value == pytest.approx(2 * 0.5**N)
    assert "each of 2 rivals" in found.reason
    (own, other, _) = found.curves
    assert [point.flipped.value for point in own.points] == [0.0, 1.0]
    assert [point.flipped.value for point in other.points] == [0.0, 0.0, 0.0, 1.0]
    assert [point.kl.value for point in other.points] == pytest.approx([0.05, 0.1, 0.15, 0.2])


def test_a_ranking_that_is_as_good_is_not_beaten_and_named():
    found = verdict(contest(mean_difference=heads(B, A), top_cosine=heads(X, Y)))
    assert not found.beats_rivals
    assert found.unbeaten == ["mean_difference"]
    assert found.p_value == 1.0
    assert "does not beat 1 of 2 rivals: the ranking by difference of means" in found.reason
    assert "at equal size 100% against the pooled set's 100%" in found.reason


def test_one_that_takes_more_features_at_no_more_side_effects_is_beaten_at_equal_size():
    """At equal side effects alone it would not be."""
    sets = {POOLED: heads(A, B), "attribution": heads(X, A, B)}
    measured = effects(sets)
    measured[frozenset([X, A, B])] = replace(measured[frozenset([X, A, B])], kl=0.0 * HARMLESS)
    found = verdict(Contest(sets, measured, {}, size=2, negligible=0.0, seed=0))
    assert found.beats_rivals
    size, cost = found.tests
    assert (size.n_better, size.n_worse, size.size) == (N, 0, 2)
    assert (cost.n_better, cost.n_worse, cost.size) == (0, 0, 3)


def test_one_that_is_as_small_and_costs_more_is_beaten_at_equal_side_effects():
    """Its two features flip what the pooled set's do, and are three times as harmful."""
    other = frozenset([Y, Z])
    sets = {POOLED: heads(A, B), "attribution": {1: [frozenset([Y])], 2: [other]}}
    measured = effects(sets) | {other: Measured(flips=ALL, kl=0.3 * HARMLESS)}
    found = verdict(Contest(sets, measured, {}, size=2, negligible=0.0, seed=0))
    assert found.beats_rivals
    assert [test.p_value for test in found.tests] == pytest.approx([1.0, 0.5**N])
    # Unless neither costs anything to speak of.
    lenient = verdict(Contest(sets, measured, {}, size=2, negligible=0.5, seed=0))
    assert not lenient.beats_rivals
    (_, decides, beside) = lenient.tests
    assert (decides.at_equal, decides.p_value) == ("side_effects", 1.0)
    assert (beside.at_equal, beside.p_value) == ("own_side_effects", pytest.approx(0.5**N))
    assert lenient.deciding("attribution") == list(lenient.tests[:2])


def test_of_several_random_sets_the_best_one_counts():
    """Nine of ten flip nothing: their mean is beaten, the tenth is not."""
    drawn = [frozenset([X, FeatureId(3, i)]) for i in range(9)]
    poor = verdict(contest(random_norm={2: drawn}))
    assert poor.beats_rivals
    lucky = verdict(contest(random_norm={2: [*drawn, frozenset([B, A])]}))
    assert not lucky.beats_rivals
    (point,) = lucky.curves[1].points
    assert point.flipped.value == pytest.approx(0.1), "the curve shows their mean"


def test_the_direction_counts_at_equal_side_effects_alone():
    free, dear = (Measured(flips=ALL, kl=kl * HARMLESS) for kl in (0.05, 0.4))
    weak = Measured(flips=NONE, kl=0.05 * HARMLESS)
    lost = verdict(contest(parts={0.5: weak, 1.0: free}))
    assert lost.unbeaten == ["direction"]
    assert lost.tests[0].share == 1.0
    won = verdict(contest(parts={0.5: weak, 1.0: dear}))
    assert won.beats_rivals
    assert (won.tests[0].share, won.tests[0].theirs.value) == (0.5, 0.0)
    nothing = verdict(contest(parts={1.0: dear}))
    assert nothing.beats_rivals
    assert nothing.tests[0].share == 0.0, "no share of it is as harmless"


def test_prompts_are_paired():
    """Both flip half of the prompts, the rival others: as many against as for."""
    first = np.arange(N) < N // 2
    sets = {POOLED: heads(A, B), "attribution": {2: [frozenset([X, Y])]}}
    measured = effects(sets)
    measured[frozenset([A, B])] = replace(measured[frozenset([A, B])], flips=first)
    measured[frozenset([X, Y])] = replace(measured[frozenset([X, Y])], flips=~first)
    (test, _) = verdict(Contest(sets, measured, {}, size=2, negligible=0.0, seed=0)).tests
    assert (test.n_better, test.n_worse) == (N // 2, N // 2)
    assert test.p_value > 0.5


def test_where_answers_are_judged_their_text_decides():
    """By score the set wins; the judge sees compliance under both, on those that it was shown."""
    made = contest(attribution=heads(X, Y))
    shown = np.where(np.arange(N) < 10, 1.0, nan)
    assert set(made.compared) == {frozenset([A, B]), frozenset([X, Y]), frozenset([X])}
    found = verdict(made, dict.fromkeys(made.compared, shown))
    assert not found.beats_rivals
    assert {test.by for test in found.deciding("attribution")} == {"text"}
    assert {test.own.n for test in found.tests if test.by == "text"} == {10}
    assert "in text" in found.reason
    assert all(curve.complied and curve.complied.value == 1.0 for curve in found.curves)
    assert verdict(made).beats_rivals


def test_too_few_prompts_to_beat_anything_are_said_to_be():
    """Five prompts, all flipped by the set and none by the rival: p can be no less than 1/16."""
    sets = {POOLED: heads(A, B), "top_cosine": heads(X, Y)}
    few = {one: replace(own, flips=own.flips[:5]) for one, own in effects(sets).items()}
    found = verdict(Contest(sets, few, {}, size=2, negligible=0.0, seed=0))
    assert not found.beats_rivals
    assert "With 5 held-out prompts no p-value is below 0.062" in found.reason
    assert "held-out prompts no p-value" not in verdict(contest(top_cosine=heads(A, B))).reason


def test_without_a_rival_nothing_is_won():
    found = verdict(contest())
    assert not found.beats_rivals
    assert found.reason == "No rival could be made."


def test_controls_pass_the_verdict_on():
    won = verdict(contest(top_cosine=heads(X, Y)))
    empty = Controls(per_prompt=(), pooled=(), collateral=(), error_term=None)
    assert (empty.beats_rivals, empty.reason) == (False, "There is no pooled set.")
    full = replace(empty, rivals=won)
    assert (full.beats_rivals, full.reason) == (True, won.reason)


@given(
    own=st.lists(st.booleans(), min_size=N, max_size=N),
    theirs=st.lists(st.booleans(), min_size=N, max_size=N),
)
def test_a_rival_that_flips_as_many_is_never_beaten(own: list[bool], theirs: list[bool]):
    rival = frozenset([X, Y])
    sets = {POOLED: heads(A, B), "attribution": {2: [rival]}}
    measured = effects(sets)
    measured[frozenset([A, B])] = replace(measured[frozenset([A, B])], flips=np.array(own))
    measured[rival] = replace(measured[rival], flips=np.array(theirs))
    found = verdict(Contest(sets, measured, {}, size=2, negligible=0.0, seed=0))
    if sum(theirs) >= sum(own):
        assert not found.beats_rivals
    assert all(isinstance(test, RivalTest) and 0.0 < test.p_value <= 1.0 for test in found.tests)


@given(st.integers(1, 300))
def test_curves_reach_four_times_the_size_and_hold_it(size: int):
    sizes = curve_sizes(size)
    assert sizes == sorted(set(sizes))
    assert size in sizes
    assert sizes[0] == 1
    assert 8 * size / 3 < max(sizes) <= 4 * size
    assert len(sizes) <= 22


def test_the_sizes_for_a_set_of_four():
    assert curve_sizes(4) == [1, 2, 3, 4, 6, 8, 12, 16]


@pytest.mark.parametrize("kl", [0.13, 0.5, 0.97])
def test_the_direction_is_cut_down_to_equal_side_effects(kl: float):
    """KL rises as the square of the share that is removed."""
    found = cut_down(lambda part: Measured(flips=ALL, kl=np.full(3, part * part)), kl)
    assert list(found) == sorted(found)
    within = max(part for part in found if found[part].kl.mean() <= kl)
    assert np.sqrt(kl) - 1 / 128 <= within <= np.sqrt(kl)


def test_a_direction_that_costs_less_is_removed_whole():
    found = cut_down(lambda part: Measured(flips=ALL, kl=np.full(3, 0.1 * part)), 0.2)
    assert list(found) == [k / 8 for k in range(1, 9)]
