"""Which tests can say anything, and their correction, against brute force and worked examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.comparison.testing import (
    LEVEL,
    Test,
    can_be_significant,
    corrected,
    fewest_pairs,
    fewest_switches,
    largest_p_values,
    sign_flips,
    smallest_p,
    switches_p_value,
)
from sae_audit.comparison.types import Detectable
from sae_audit.statistics import sign_flip_p_value


def case(name: str, p_value: float, smallest: float) -> Test:
    def could_show(level: float) -> Detectable:
        return Detectable(value=0.1, unit="nats", level=level, power=0.8, method="")

    return Test(name=name, n=9, p_value=p_value, smallest_p=smallest, could_show=could_show)


@pytest.mark.parametrize("n", [1, 2, 5, 9, 12, 13, 20])
def test_the_smallest_p_is_that_of_pairs_that_all_changed_alike(n: int):
    own = sign_flip_p_value(np.ones(n), seed=0)
    assert own >= smallest_p(n)
    assert own <= 3 * smallest_p(n)
    if n <= 12:
        assert own == smallest_p(n)


def test_no_result_on_five_pairs_is_significant_and_six_are_enough_for_one_test_alone():
    assert smallest_p(5) == 2 / 32
    assert not can_be_significant([smallest_p(5)]).any()
    assert can_be_significant([smallest_p(6)]).all()
    assert not can_be_significant([smallest_p(6)] * 2).any(), "both or neither, and not both"
    assert (fewest_pairs(0), fewest_pairs(5), fewest_pairs(11)) == (6, 8, 9)


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_every_test_that_enters_can_be_significant_beside_the_others(sizes: list[int]):
    smallest = [smallest_p(n) for n in sizes]
    enters = can_be_significant(smallest)
    m = int(enters.sum())
    assert all(p * m <= LEVEL + 1e-12 for p, one in zip(smallest, enters, strict=True) if one)
    if m < len(sizes):
        left_out = min(p for p, one in zip(smallest, enters, strict=True) if not one)
        as_sharp = smallest.count(left_out)
        assert left_out * (m + as_sharp) > LEVEL, "none is left out that could have entered"


def test_holms_correction_by_hand():
    found = corrected([case(name, p, 1e-4) for name, p in (("a", 0.04), ("b", 0.01), ("c", 0.03))])
    assert [one.corrected_p for one in found.values()] == pytest.approx([0.06, 0.03, 0.06])
    assert [one.level for one in found.values()] == pytest.approx([0.05, 0.05 / 3, 0.025])
    assert [one.is_significant for one in found.values()] == [False, True, False]
    shown = found["a"].could_show
    assert shown is not None
    assert shown.level == pytest.approx(0.05 / 3), "power is at the level that it surely has"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(1, 50))
def test_tests_that_can_say_nothing_cost_the_others_nothing(p_values: list[float], n_small: int):
    real = [case(f"real {i}", p, 1e-4) for i, p in enumerate(p_values)]
    small = [case(f"small {i}", smallest_p(5), smallest_p(5)) for i in range(n_small)]
    alone, beside = corrected(real), corrected([*small, *real])
    assert all(beside[name] == one for name, one in alone.items())
    assert {beside[one.name].corrected_p for one in small} == {None}
    assert not any(beside[one.name].is_significant for one in small)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-1, 1), min_size=1, max_size=9))
def test_switches_are_tested_as_their_signs_are_flipped(differences: list[int]):
    flipped = sign_flip_p_value(np.array(differences, dtype=float), seed=0)
    down, up = differences.count(-1), differences.count(1)
    assert switches_p_value(down, up) == pytest.approx(flipped)


@pytest.mark.parametrize("level", [0.05, 0.01, 2.0**-7, 0.003])
def test_fewest_switches_are_just_enough(level: float):
    k = fewest_switches(level)
    assert switches_p_value(k, 0) <= level < switches_p_value(k - 1, 0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-5, 5), min_size=2, max_size=9))
def test_one_column_is_a_sign_flip_test(values: list[int]):
    own = np.array(values, dtype=float)
    (found,) = largest_p_values(own[:, None], sign_flips(len(own), 0))
    assert found == pytest.approx(sign_flip_p_value(own, seed=0))


def test_of_many_columns_under_the_null_any_is_named_in_five_in_a_hundred():
    """200 tables of 30 pairs and 12 columns that depend on each other."""
    draws = np.random.default_rng(0)
    named = 0
    for seed in range(200):
        shared = draws.normal(size=(30, 1))
        rows = 0.7 * shared + draws.normal(size=(30, 12))
        named += largest_p_values(rows, sign_flips(30, seed, n_random=1000)).min() <= LEVEL
    assert named <= 16, "10 expected; 16 or fewer in 98% of such runs"


def test_a_column_that_changed_is_the_one_that_is_named():
    rows = np.random.default_rng(0).normal(size=(30, 12))
    rows[:, 3] += 1.2
    named = largest_p_values(rows, sign_flips(30, 0)) <= LEVEL
    assert named.tolist() == [i == 3 for i in range(12)]
