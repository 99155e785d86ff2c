"""Where refusal arrives, of scores by layer that are made up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.direction.patched_layers import PatchedScores, layer_patching
from sae_audit.findings import LayerPatching

N_LAYERS, N_PROMPTS, N_ANSWERED = 8, 6, 5


def found(
    refused: np.ndarray, *, clean: float = 3.0, written: np.ndarray | None = None
) -> LayerPatching:
    """The finding of prompts that score `clean`, and `refused` [layer] or [layer, prompt] patched."""
    patched = np.broadcast_to(np.atleast_2d(refused.T).T, (N_LAYERS, N_PROMPTS)).astype(float)
    whole = np.full((N_LAYERS, N_PROMPTS), clean)
    return layer_patching(
        PatchedScores(
            clean_refused=np.full(N_PROMPTS, clean),
            clean_answered=np.full(N_ANSWERED, -3.0),
            refused=patched,
            written=whole if written is None else np.broadcast_to(written[:, None], whole.shape),
            own_mean=whole,
            answered=np.full((N_LAYERS, N_ANSWERED), 2.0),
        ),
        n_positions=4,
    )


def test_refusal_that_arrives_in_one_layer_is_said_to_be_there():
    scores = np.where(np.arange(N_LAYERS) < 5, 3.0, -2.0)
    one = found(scores)
    assert (one.steepest, one.share_steepest) == (5, 1.0)
    assert one.arrival is not None
    assert (one.arrival.value, one.arrival.n) == (5.0, N_PROMPTS)


def test_a_layer_that_takes_it_for_once_is_not_where_it_arrives():
    """Most of a step may lie there; half of the effect is there to stay only later."""
    scores = np.array([3.0, -2.0, 3.0, 3.0, 3.0, 0.0, -2.0, -2.0])
    one = found(scores)
    assert one.arrival is not None
    assert one.arrival.value == 5.0


def test_prompts_have_layers_of_their_own():
    at = np.array([2, 2, 3, 5, 5, 5])
    scores = np.where(np.arange(N_LAYERS)[:, None] < at, 3.0, -2.0)
    one = found(scores)
    assert one.arrival is not None
    assert one.arrival.value == np.median(at)
    assert (one.steepest, one.share_steepest) == (5, pytest.approx(0.5))


def test_nothing_is_said_if_replacing_takes_nothing():
    one = found(np.full(N_LAYERS, 3.5))
    assert (one.arrival, one.steepest, one.share_steepest) == (None, None, None)


def test_the_largest_write_is_the_one_without_which_least_is_left():
    written = np.array([3.0, 2.9, 3.1, 1.0, 2.0, 3.0, 3.0, 3.0])
    assert found(np.full(N_LAYERS, 0.0), written=written).largest_write == 3


@given(st.lists(st.floats(-5.0, 3.0), min_size=N_LAYERS, max_size=N_LAYERS))
def test_the_steepest_step_is_the_largest_and_arrival_is_final(scores: list[float]):
    one = found(np.array(scores))
    taken = 3.0 - np.array(scores)
    if taken[-1] <= 0.0:
        assert one.steepest is None
        return
    steps = np.diff(taken, prepend=0.0)
    assert one.steepest is not None
    assert steps[one.steepest] == steps.max()
    assert one.arrival is not None
    assert (taken[int(one.arrival.value) :] >= taken[-1] / 2).all()
    assert one.arrival.value == 0 or taken[int(one.arrival.value) - 1] < taken[-1] / 2
