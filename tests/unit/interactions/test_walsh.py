"""The default solver: what it finds, how sure it is, and how seldom it cries wolf."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.bench.games import planted_game
from sae_audit.interactions.higher_order import fitted_to_half, null_triple_weight, triples_of
from sae_audit.interactions.masks import draw_masks, held_out_rows
from sae_audit.interactions.pair_model import r_squared
from sae_audit.interactions.solver import FittedWalsh
from sae_audit.interactions.walsh import fit_walsh, null_level
from tests.games import features

N, N_MASKS = 12, 256
PAIRS = np.triu_indices(N, k=1)


def drawn(seed: int) -> np.ndarray:
    return draw_masks(N, N_MASKS, seed)[0]


def linear_with_noise(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    masks = drawn(seed)
    return masks, masks @ random.normal(size=N) + 0.5 * random.normal(size=N_MASKS)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_triple_is_found_with_the_weight_that_it_has(seed: int):
    """y = 2 - z0 + 3 z1 z2 z3: eight products, no noise."""
    masks = drawn(seed)
    z = masks.astype(float)
    scores = 2.0 - z[:, 0] + 3.0 * z[:, 1] * z[:, 2] * z[:, 3]
    fitted = fit_walsh(masks, scores, seed=seed)
    np.testing.assert_allclose(fitted.predict(masks), scores, atol=0.01)
    (triple,) = triples_of(features(N), fitted, null_triple_weight(N, fitted))
    assert (triple.a, triple.b, triple.c) == tuple(features(N)[1:4])
    assert triple.weight == pytest.approx(3.0, abs=0.02)
    assert triple.low <= triple.weight <= triple.high
    # Averaged over the third feature, each of its pairs has half the triple's weight.
    assert fitted.pair_weights()[1, 2] == pytest.approx(1.5, abs=0.02)


def test_where_pairs_suffice_there_is_no_triple():
    masks, scores = linear_with_noise(0)
    scores = scores - 2.0 * (masks[:, 0] & masks[:, 1])
    fitted = fit_walsh(masks, scores, seed=0)
    assert triples_of(features(N), fitted, null_triple_weight(N, fitted)) == ()


def test_a_triple_by_chance_is_that_of_all_triples_together():
    """2.5% on either side for one triple; of 560, 1 - .95^(1/560) = 9.16e-5 on both sides."""
    fitted = fit_walsh(*linear_with_noise(0), seed=0)
    reach = {3: 1.96, 16: 3.912}
    for n, deviations in reach.items():
        assert null_triple_weight(n, fitted) == pytest.approx(
            8 * fitted.error * deviations, rel=1e-3
        )
    assert null_triple_weight(2, fitted) is None


def test_triples_by_chance_are_named_no_more_often_than_it_says():
    """One graph in 20 may name one; of 40, seven would have a probability below .004."""
    named = 0
    for seed in range(40):
        fitted = fit_walsh(*linear_with_noise(seed), seed=seed)
        named += bool(triples_of(features(N), fitted, null_triple_weight(N, fitted)))
    assert named < 7


def test_votes_without_any_pair_weight_are_explained():
    """Three of five: mains and triples alone, so no pair leads to them."""
    masks = drawn(1)
    scores = np.where(masks[:, :5].sum(axis=1) >= 3, -4.0, 0.0)
    fitted = fit_walsh(masks, scores, seed=0)
    fresh = drawn(2)
    truth = np.where(fresh[:, :5].sum(axis=1) >= 3, -4.0, 0.0)
    assert r_squared(truth, fitted.predict(fresh)) > 0.999
    assert np.abs(fitted.pair_weights()).max() < 0.05


def test_without_interactions_chance_is_exceeded_no_more_often_than_it_says():
    """One graph in 21 may; of 40, seven would have a probability below .005."""
    exceeded = 0
    for seed in range(40):
        masks, scores = linear_with_noise(seed)
        fitted = fit_walsh(masks, scores, seed=seed)
        largest = np.abs(fitted.pair_weights()).max()
        exceeded += largest > null_level(fitted, masks, seed=seed, n_shuffles=20)
    assert exceeded < 7


@pytest.mark.parametrize("name", ["mixed", "saturated sum"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(name: str):
    """With noise; and where no sparse model is right, since the whole sum is saturated."""
    held: list[float] = []
    for seed in range(12):
        game = planted_game(name, N, seed)
        masks = drawn(seed)
        noise = 0.3 * np.random.default_rng(seed).normal(size=N_MASKS)
        low, high = fit_walsh(masks, game.of_masks(masks) + noise, seed=seed).interval()
        kind = np.abs(game.truth[PAIRS]) >= 0.05
        held += ((low <= game.truth) & (game.truth <= high))[PAIRS][kind].tolist()
    assert np.mean(held) > 0.88


def test_more_masks_mend_the_error_of_sampling_alone():
    """Half of the masks do as well for a linear score, and worse where pairs are many."""
    masks, scores = linear_with_noise(0)
    apart = held_out_rows(N_MASKS, 0)
    game = planted_game("mixed", N, 0)

    def gain(values: np.ndarray) -> float:
        whole = fit_walsh(masks[~apart], values[~apart], seed=0)
        r2 = r_squared(values[apart], whole.predict(masks[apart]))
        half = fitted_to_half(masks, values, fit_walsh, whole.chosen, apart, seed=0)
        return r2 - r_squared(values[apart], half.predict(masks[apart]))

    noisy = game.of_masks(masks) + 0.5 * np.random.default_rng(0).normal(size=N_MASKS)
    assert gain(scores) < 0.05 < gain(noisy)


def test_what_it_hands_back_is_whole():
    masks, scores = linear_with_noise(3)
    fitted = fit_walsh(masks, scores, seed=0)
    assert isinstance(fitted, FittedWalsh)
    low, high = fitted.interval()
    assert (low[PAIRS] < high[PAIRS]).all()
    assert fitted.error == pytest.approx(0.5 / np.sqrt(N_MASKS), rel=0.2)
