"""How long a vector an ablation removes, worked by hand."""

import numpy as np
import pytest

from sae_audit.controls.removed_norm import RemovedNorms
from sae_audit.vocabulary import FeatureId, FeatureValues, TemplateActivations

EAST, NORTH = np.array([1.0, 0.0]), np.array([0.0, 1.0])
A, B, C, D = (FeatureId(0, i) for i in range(4))
E = FeatureId(1, 0)
ROWS = {A: EAST, B: NORTH, C: 2 * EAST, D: EAST, E: NORTH}
NORMS = {0: np.array([1.0, 1.0, 2.0, 1.0]), 1: np.array([1.0])}
ACTIVATIONS = {
    # Two prompts of two positions; feature 3 never fires there.
    0: TemplateActivations(
        index=np.array([0, 1, 2]),
        values=np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]], [[6.0, 8.0, 0.0], [0.0, 0.0, 1.0]]]),
        factor=np.ones((2, 2)),
    ),
    1: TemplateActivations(
        index=np.array([0]), values=np.full((2, 2, 1), 5.0), factor=np.full((2, 2), 0.5)
    ),
}


def norms(clamp: float | FeatureValues = 0.0) -> RemovedNorms:
    return RemovedNorms(ACTIVATIONS, NORMS, lambda asked: {f: ROWS[f] for f in asked}, clamp)


def test_vectors_are_added_before_their_length_is_taken():
    """At right angles 3 and 4 make 5; over two positions and prompts (5 + 0 + 10 + 0) / 4."""
    assert norms().by_layer(frozenset([A, B])) == {0: pytest.approx(3.75)}
    assert norms().alone()[0] == pytest.approx([9 / 4, 12 / 4, 2.0 / 2, 0.0])


def test_layers_are_added_and_rows_have_the_scale_of_their_stream():
    assert norms().by_layer(frozenset([E])) == {1: pytest.approx(2.5)}
    assert norms().removed(frozenset([A, B, E])) == pytest.approx(3.75 + 2.5)


def test_a_feature_that_never_fires_removes_nothing():
    assert norms().removed(frozenset([D])) == 0.0
    assert norms().removed(frozenset([A, D])) == norms().removed(frozenset([A]))


def test_a_clamp_is_what_is_left():
    """Feature 3 is written in instead; what A loses shrinks where it fires, and grows where not."""
    clamped = norms({0: np.array([3.0, 0.0, 0.0, 2.0]), 1: np.zeros(1)})
    assert clamped.removed(frozenset([D])) == pytest.approx(2.0)
    assert clamped.removed(frozenset([A])) == pytest.approx((0 + 3 + 3 + 3) / 4)
    assert clamped.alone()[0][[0, 3]] == pytest.approx([9 / 4, 2.0])
    assert norms(1.0).removed(frozenset([D])) == pytest.approx(1.0)


def test_single_prompts_have_their_own_norms():
    assert norms().of_prompts([1]).removed(frozenset([A, B])) == pytest.approx(5.0)
    assert norms().of_prompts([0]).alone()[0][2] == pytest.approx(1.0)
