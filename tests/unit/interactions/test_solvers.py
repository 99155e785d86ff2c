"""Every solver on models whose pair weights are written down, and the exact answer by hand."""

import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sae_audit.errors import AuditError
from sae_audit.interactions.exact import fit_exact
from sae_audit.interactions.fm_als import fit_als
from sae_audit.interactions.fm_bayes import cross_validated, fit_bayes
from sae_audit.interactions.lasso import fit_lasso
from sae_audit.interactions.linear import fit_linear
from sae_audit.interactions.masks import draw_masks
from sae_audit.interactions.pair_model import (
    PairModel,
    check_design,
    coded,
    from_plus_minus,
    r_squared,
)
from sae_audit.interactions.solver import Hyperparameters, Solver
from sae_audit.interactions.solvers import SOLVERS

CHOSEN = Hyperparameters(rank=4, l2=5.0, coding="plus_minus")
PLANTED = {(3, 7): 2.0, (10, 20): -1.5}
finite = st.floats(-3, 3)


def planted(n_masks: int, n_players: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two pairs of weight 2.0 and -1.5, one main effect, noise of deviation 0.05."""
    random = np.random.default_rng(seed)
    masks = random.random((n_masks, n_players)) < 0.5
    scores = 0.3 * masks[:, 5] + 0.05 * random.normal(size=n_masks)
    for (i, j), weight in PLANTED.items():
        scores += weight * (masks[:, i] & masks[:, j])
    return masks, scores


def assert_recovered(pairs: np.ndarray) -> None:
    """The planted weights within 0.1, every other below 0.1, in a symmetric matrix."""
    others = pairs.copy()
    for (i, j), weight in PLANTED.items():
        assert pairs[i, j] == pytest.approx(weight, abs=0.1)
        others[i, j] = others[j, i] = 0.0
    assert np.abs(others).max() < 0.1
    np.testing.assert_array_equal(pairs, pairs.T)
    np.testing.assert_array_equal(np.diag(pairs), 0.0)


class TestKnownAnswer:
    def test_fastfm_recovers_planted_weights_among_200_features(self):
        """Two of 19,900 pairs, from 2,000 masks."""
        masks, scores = planted(2000, 200)
        assert_recovered(fit_als(masks, scores, seed=0, chosen=CHOSEN).pair_weights())

    def test_myfm_recovers_planted_weights_among_200_features(self):
        masks, scores = planted(2000, 200)
        assert_recovered(fit_bayes(masks, scores, seed=0, chosen=CHOSEN).pair_weights())

    def test_the_lasso_recovers_planted_weights_with_a_strength_of_its_own_choice(self):
        """Two of 780: on 19,900 products the path takes seconds."""
        masks, scores = planted(800, 40)
        assert_recovered(fit_lasso(masks, scores, seed=0).pair_weights())

    def test_posterior_intervals_hold_the_truth_about_as_often_as_they_say(self):
        """95% intervals of 16 pairs a draw over ten draws of masks and noise."""
        held, held_zero = [], []
        for seed in range(10):
            masks, scores = planted(300, 24, seed)
            low, high = fit_bayes(masks, scores, seed=seed, chosen=CHOSEN).interval()
            held += [low[pair] <= weight <= high[pair] for pair, weight in PLANTED.items()]
            held_zero += [low[0, j] <= 0.0 <= high[0, j] for j in range(1, 15)]
        assert np.mean(held) >= 0.75
        assert np.mean(held_zero) >= 0.9

    def test_the_linear_control_knows_no_pairs(self):
        masks, scores = planted(400, 24)
        fitted = fit_linear(masks, scores, seed=0)
        assert not fitted.pair_weights().any()
        assert r_squared(scores, fitted.predict(masks)) < 0.9


@pytest.mark.parametrize("name", SOLVERS)
class TestEverySolver:
    def test_answers_to_one_protocol_and_repeats(self, name: str):
        solve = SOLVERS[name]
        assert isinstance(solve, Solver)
        masks, scores = planted(200, 24)
        once = solve(masks, scores, seed=0)
        again = solve(masks, scores, seed=0, chosen=once.chosen)
        np.testing.assert_array_equal(once.pair_weights(), again.pair_weights())
        assert once.predict(masks).shape == scores.shape

    def test_of_constant_scores_it_makes_that_constant(self, name: str):
        """A fold or a resample may hold nothing else."""
        masks, _ = draw_masks(12, 60, 0)
        chosen = CHOSEN if name.startswith("fm") else None
        fitted = SOLVERS[name](masks, np.full(60, 2.5), seed=0, chosen=chosen)
        tolerance = 0.1 if name == "fm_bayes" else 1e-6  # a sampler's mean is never exact
        np.testing.assert_allclose(fitted.predict(masks), 2.5, atol=tolerance)

    def test_refuses_what_is_not_finite(self, name: str):
        masks, scores = planted(64, 24)
        scores[3] = np.nan
        with pytest.raises(AssertionError, match="not finite"):
            SOLVERS[name](masks, scores, seed=0)


def test_masks_and_scores_of_different_number_are_our_mistake():
    masks, scores = planted(64, 24)
    with pytest.raises(AssertionError):
        check_design(masks, scores[:-1])
    with pytest.raises(AssertionError):
        check_design(masks[0], scores)


def test_without_fastfm_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fastFM.als", None)
    masks, scores = planted(64, 24)
    with pytest.raises(AuditError, match=r"interactions.solver=walsh"):
        fit_als(masks, scores, seed=0, chosen=CHOSEN)


class TestCrossValidation:
    def test_prefers_what_predicts_and_needs_no_fastfm(self, monkeypatch: pytest.MonkeyPatch):
        """A truth of rank one, in which every pair interacts."""
        monkeypatch.setitem(sys.modules, "fastFM.als", None)
        v = np.linspace(-1.0, 1.0, 10)
        pairs = np.outer(v, v)
        np.fill_diagonal(pairs, 0.0)
        truth = PairModel(intercept=0.0, main=v, pairs=pairs)
        random = np.random.default_rng(2)
        masks, fresh = random.random((2, 300, 10)) < 0.5
        scores = truth.predict(masks) + 0.1 * random.normal(size=300)
        chosen = cross_validated(masks, scores, seed=0)
        fitted = fit_bayes(masks, scores, seed=0, chosen=chosen)
        assert r_squared(truth.predict(fresh), fitted.predict(fresh)) > 0.9

    def test_als_takes_rank_and_coding_and_chooses_the_strength(self):
        masks, scores = planted(300, 24)
        given = Hyperparameters(rank=4, l2=0.0, coding="plus_minus")
        fitted = fit_als(masks, scores, seed=0, chosen=given)
        assert (fitted.chosen.rank, fitted.chosen.coding) == (4, "plus_minus")
        assert fitted.chosen.l2 > 0.0


@given(
    npst.arrays(np.float64, 5, elements=finite),
    npst.arrays(np.float64, (5, 5), elements=finite),
    finite,
)
def test_both_codings_describe_one_function(main: np.ndarray, raw: np.ndarray, intercept: float):
    """A +-1 model and its 0/1 twin: same scores, and pair weights four times as large."""
    pairs = np.triu(raw, 1) + np.triu(raw, 1).T
    masks, _ = draw_masks(5, 32, 0)
    signs = coded(masks, "plus_minus")
    direct = intercept + signs @ main + 0.5 * np.einsum("mi,ij,mj->m", signs, pairs, signs)
    twin = from_plus_minus(intercept, main, pairs)
    np.testing.assert_allclose(twin.predict(masks), direct, atol=1e-9)
    np.testing.assert_allclose(fit_exact(masks, direct).pairs, twin.pairs, atol=1e-9)
    np.testing.assert_allclose(twin.pairs, 4.0 * pairs)


class TestExact:
    def test_three_players_by_hand(self):
        """y = 1 - 2 z0 z1 + z2, and a triple of weight 4 that spreads evenly over its pairs."""
        masks, design = draw_masks(3, 8, 0)
        z = masks.astype(float)
        pairs = fit_exact(masks, 1 - 2 * z[:, 0] * z[:, 1] + z[:, 2]).pairs
        np.testing.assert_allclose(pairs[np.triu_indices(3, 1)], [-2.0, 0.0, 0.0], atol=1e-9)
        triple = fit_exact(masks, 4 * z.prod(axis=1)).pairs
        np.testing.assert_allclose(triple[np.triu_indices(3, 1)], 2.0, atol=1e-9)
        assert design == "all"

    @given(npst.arrays(np.float64, 16, elements=finite))
    def test_it_is_the_second_difference_averaged_over_contexts(self, scores: np.ndarray):
        """Any function of four players, against the definition of the Banzhaf interaction."""
        masks, _ = draw_masks(4, 16, 0)
        value = {tuple(mask): score for mask, score in zip(masks, scores, strict=True)}
        pairs = fit_exact(masks, scores).pairs
        for i, j in combinations(range(4), 2):
            differences = []
            for mask in masks[~masks[:, i] & ~masks[:, j]]:
                with_i, with_j, with_both = mask.copy(), mask.copy(), mask.copy()
                with_i[i] = with_j[j] = with_both[i] = with_both[j] = True
                differences.append(
                    value[tuple(with_both)]
                    - value[tuple(with_i)]
                    - value[tuple(with_j)]
                    + value[tuple(mask)]
                )
            assert pairs[i, j] == pytest.approx(np.mean(differences), abs=1e-9)

    def test_a_missing_mask_is_our_mistake(self):
        masks, _ = draw_masks(3, 8, 0)
        with pytest.raises(AssertionError, match="not every mask"):
            fit_exact(masks[:-1], np.arange(7.0))
