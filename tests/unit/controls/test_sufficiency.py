"""Features set up on harmless prompts, beside random ones that write as much."""

import numpy as np
import pytest

from sae_audit.controls.sufficiency import equally_long, raised_set
from sae_audit.vocabulary import FeatureId

A, B, C = FeatureId(0, 0), FeatureId(0, 1), FeatureId(2, 0)
X, Y, Z = FeatureId(0, 5), FeatureId(0, 6), FeatureId(2, 7)


def test_shares_and_rises_are_over_the_same_prompts():
    clean = np.array([-4.0, -2.0, -3.0, -1.0])
    found = raised_set("pooled", clean, clean + 2.5, clean + 0.5)
    assert found.refused.value == 0.5
    assert found.score_rise.value == pytest.approx(2.5)
    assert found.refused_random.value == 0.0
    assert found.score_rise_random.value == pytest.approx(0.5)


def test_a_prompt_that_is_refused_as_it_is_has_no_place_here():
    with pytest.raises(AssertionError, match="refused as they are"):
        raised_set("pooled", np.array([1.0]), np.array([2.0]), np.array([2.0]))


def test_stand_ins_write_as_long_a_vector_to_each_layer():
    """A and B write at right angles (length 5), X and Y along one line; C's row has length 2."""
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    rows = {A: east, B: north, C: 2 * east, X: east, Y: east, Z: north}
    values = {A: 3.0, B: 4.0, C: 1.5}
    found = equally_long([A, B, C], [X, Y, Z], values, rows)
    assert np.linalg.norm(found[X] * rows[X] + found[Y] * rows[Y]) == pytest.approx(5.0)
    assert np.linalg.norm(found[Z] * rows[Z]) == pytest.approx(3.0)
    assert found[Y] / found[X] == pytest.approx(4.0 / 3.0), "shares stay those of the features"


def test_features_that_write_nothing_ask_nothing_of_their_stand_ins():
    row = np.array([1.0, 0.0])
    assert equally_long([A], [X], {A: 0.0}, {A: row, X: row}) == {X: 0.0}
