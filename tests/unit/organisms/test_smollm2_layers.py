"""How sure the table of places is, by counting."""

import math

from benchmarks.smollm2_layers import exact_p, place_of

ALL_RIGHT = {
    **{f"early-{i}": 4 + i for i in range(3)},
    **{f"middle-{i}": 12 + i for i in range(3)},
    **{f"late-{i}": 23 + i for i in range(3)},
}


def test_a_layer_lies_in_one_place_or_in_none():
    assert [place_of(layer) for layer in (3, 4, 9, 10, 12, 17, 20, 25, 26, None)] == [
        *("", "early", "early", "", "middle", "middle", "late", "late", "", "")
    ]


def test_nine_right_of_nine_is_one_way_of_dealing_them_out():
    n_ways = math.factorial(9) // math.factorial(3) ** 3
    assert exact_p(ALL_RIGHT) == 1 / n_ways


def test_one_layer_for_all_says_nothing():
    """Three of nine are right then, however they are dealt out."""
    assert exact_p(dict.fromkeys(ALL_RIGHT, 22)) == 1.0
    assert exact_p(dict.fromkeys(ALL_RIGHT, 0)) == 1.0
