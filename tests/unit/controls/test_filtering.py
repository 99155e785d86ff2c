"""Filtered sets over prompts: rankings, curves and ranks worked by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.controls.filtering import (
    added_points,
    curve_points,
    doubling,
    fewest_that_flip_most,
    pooled_ranking,
    rank_p_value,
    set_controls,
)
from sae_audit.findings import AddedPoint, MinimalSet
from sae_audit.vocabulary import FeatureId
from tests.games import features, needs
from tests.synthetic.findings import estimate, minimal

A, B, C, D, E = features(5)
SCORES = {"p": needs(A), "q": needs(A, B), "r": needs(A, B, C), "s": needs(D)}


def filtered(prompt_id: str, *kept: FeatureId) -> MinimalSet:
    return replace(minimal(prompt_id, A), filtered=tuple(sorted(kept)))


def test_what_most_filtered_sets_hold_comes_first_then_the_candidates_order():
    sets = [
        filtered("p", A, B, D),
        filtered("q", A, C),
        filtered("r", A, E, C),
        minimal("s"),
    ]
    assert pooled_ranking(sets, [E, D]) == [A, C, E, D, B]
    assert pooled_ranking(sets, []) == [A, C, B, D, E]


@given(st.integers(1, 5000))
def test_sizes_double_up_to_the_whole(n: int):
    sizes = doubling(n)
    assert sizes[-1] == n
    assert all(b <= 2 * a and a < b for a, b in pairwise(sizes))


def test_the_curve_counts_flips_of_heads_and_rivals():
    points = curve_points(SCORES, [A, B, C], [D, A], lambda head: [head, frozenset([E])])
    assert [one.size for one in points] == [1, 2, 3]
    assert [one.filtered.value for one in points] == [0.25, 0.5, 0.75]
    assert all(one.filtered.method == "Wilson 95%" for one in points)
    assert [one.linear_probe and one.linear_probe.value for one in points] == [0.25, 0.5, None]
    # Each prompt counts by its average over the two random sets, one of which is the head.
    assert [one.random and one.random.value for one in points] == [0.125, 0.25, 0.375]


def test_a_layer_with_too_few_others_has_no_random_sets():
    points = curve_points(SCORES, [A], [], lambda _: [])
    assert points[0].random is points[0].linear_probe is None


def test_no_filtered_set_is_our_mistake():
    with pytest.raises(AssertionError, match="no filtered set"):
        curve_points(SCORES, [], [], lambda _: [])


def test_numbers_beyond_the_ranking_are_all_of_it():
    points = added_points(SCORES, frozenset([A]), [E, B, C], [1, 2, 64, 256])
    assert [(one.n_added, one.flipped.value) for one in points] == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert fewest_that_flip_most(points) == 3


def test_of_numbers_that_flip_as_many_the_smallest_is_taken():
    points = [
        AddedPoint(n_added=n, flipped=estimate(value))
        for n, value in ((4, 0.25), (16, 0.5), (64, 0.5), (256, 0.25))
    ]
    assert fewest_that_flip_most(points) == 16


def test_a_rank_counts_ties_against_the_set():
    own = frozenset([A, B, C])
    better, equal, worse = frozenset([A, B, C, D]), frozenset([A, B, C, E]), frozenset([E])
    assert rank_p_value(SCORES, own, [worse] * 9) == pytest.approx(0.1)
    assert rank_p_value(SCORES, own, [worse] * 7 + [equal, better]) == pytest.approx(0.3)
    assert rank_p_value(SCORES, worse, [worse] * 9) == 1.0


def test_origins_without_a_set_are_left_out():
    found = set_controls(SCORES, {"filtered": [frozenset([A])], "random": []})
    assert list(found) == ["filtered"]
    assert found["filtered"].flipped.value == 0.25
