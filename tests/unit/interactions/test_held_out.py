"""R2 on masks kept apart: its interval, its pairing, and who is the best pairwise model."""

import numpy as np
import pytest

from sae_audit.interactions.held_out import HeldOut
from sae_audit.interactions.pair_model import r_squared
from sae_audit.interactions.solvers import SOLVERS, best_pairwise


def noisy(n: int, deviation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.normal(size=n)
    return truth + deviation * random.normal(size=n), truth


def test_the_value_is_r2_and_the_interval_holds_it():
    scores, predicted = noisy(64, 0.5, 0)
    found = HeldOut(scores, seed=0).r2(predicted)
    assert found.value == pytest.approx(r_squared(scores, predicted))
    assert found.low < found.value < found.high
    assert found.n == 64


def test_the_interval_holds_the_long_run_r2_about_as_often_as_it_says():
    """Predictions off by noise of deviation one half: 1 - .25 / 1.25."""
    held = 0
    for seed in range(60):
        scores, predicted = noisy(100, 0.5, seed)
        found = HeldOut(scores, seed=seed).r2(predicted)
        held += found.low <= 0.8 <= found.high
    assert held >= 50


def test_a_perfect_prediction_has_no_error_to_resample():
    scores, _ = noisy(40, 0.0, 0)
    found = HeldOut(scores, seed=0).r2(scores)
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_gains_are_of_the_same_resamples():
    """Two models that err alike differ by nothing, whatever each one's own uncertainty."""
    scores, predicted = noisy(64, 1.0, 1)
    held_out = HeldOut(scores, seed=0)
    same = held_out.gain(predicted, predicted)
    assert (same.low, same.value, same.high) == (0.0, 0.0, 0.0)
    better = held_out.gain(0.999 * predicted + 0.001 * scores, predicted)
    own = held_out.r2(predicted)
    assert 0.0 < better.low < better.high < 0.1 * (own.high - own.low)


def test_resamples_without_spread_are_left_out():
    """One of 32 masks moves the score: a third of all resamples do not hold it."""
    scores = np.zeros(32)
    scores[5] = -4.0
    found = HeldOut(scores, seed=0).r2(np.full(32, -0.1))
    assert np.isfinite([found.low, found.value, found.high]).all()


def test_constant_scores_are_our_mistake():
    with pytest.raises(AssertionError, match="constant"):
        HeldOut(np.full(8, 2.0), seed=0)


@pytest.mark.parametrize("best", ["linear", "walsh"])
def test_the_best_pairwise_model_is_chosen_without_the_masks_kept_apart(best: str):
    """Without pairs every pair costs; where pairs are all there is, the linear model is worst."""
    random = np.random.default_rng(3)
    masks = random.random((200, 12)) < 0.5
    scores = masks @ random.normal(size=12)
    if best == "walsh":
        scores = scores + 6.0 * (masks[:, 0] ^ masks[:, 1])
    scores = scores + 0.5 * random.normal(size=200)
    fitted = {name: SOLVERS[name](masks, scores, seed=0) for name in ("walsh", "lasso", "linear")}
    assert best_pairwise(fitted, masks, scores, seed=0) == best
