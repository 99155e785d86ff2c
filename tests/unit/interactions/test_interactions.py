"""Interactions of set functions whose interactions are written down."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sae_audit.findings import InteractionGraph, PairKind
from sae_audit.interactions.fit import Solver, interactions
from sae_audit.interactions.fm_als import Hyperparameters, cross_validated, fit_als
from sae_audit.interactions.fm_bayes import fit_bayes
from sae_audit.interactions.lasso import fit_exact, fit_lasso, fit_linear
from sae_audit.interactions.masks import draw_masks, held_out_rows
from sae_audit.interactions.pair_model import PairModel, coded, from_plus_minus, r_squared
from sae_audit.interactions.players import strongest_players
from sae_audit.vocabulary import FeatureSet, Score
from tests.games import features, game

PLAYERS = features(12)
A, B, C, D, *REST = PLAYERS


def fitted(score: Score, solver: Solver = "fm_bayes", n_masks: int = 256) -> InteractionGraph:
    return interactions(
        score, PLAYERS, scope="p", n_masks=n_masks, seed=0, solver=solver, n_shuffles=20
    )


def noisy(value, deviation: float = 0.05) -> Score:
    random = np.random.default_rng(1)

    def score(sets: Sequence[FeatureSet]) -> np.ndarray:
        return game(value)(sets) + deviation * random.normal(size=len(sets))

    return score


def planted(ablated: FeatureSet) -> float:
    """A and B cover for each other, C and D share a path; single features matter besides."""
    score = 6.0 - 0.2 * len(ablated)
    score -= 3.0 * (A in ablated and B in ablated)
    return score - 2.0 * (C in ablated or D in ablated)


def kinds(graph: InteractionGraph) -> dict[frozenset, PairKind]:
    return {
        frozenset([pair.a, pair.b]): pair.kind
        for pair in graph.pairs
        if pair.kind != PairKind.UNCLEAR
    }


class TestPlanted:
    @pytest.mark.parametrize("solver", ["fm_bayes", "fm_als"])
    def test_redundant_and_shared_pairs_are_told_apart(self, solver: Solver):
        graph = fitted(noisy(planted), solver)
        assert kinds(graph) == {
            frozenset([A, B]): PairKind.REDUNDANT,
            frozenset([C, D]): PairKind.SHARED_PATH,
        }
        strongest, second = graph.pairs[:2]
        assert strongest.weight == pytest.approx(-3.0, abs=0.2)
        assert second.weight == pytest.approx(2.0, abs=0.2)
        assert strongest.low < -3.0 < strongest.high or abs(strongest.weight + 3.0) < 0.1
        assert graph.r2_held_out > 0.98 > graph.r2_linear

    def test_without_interactions_none_is_named(self):
        graph = fitted(noisy(lambda ablated: 4.0 - 0.3 * len(ablated), 0.3))
        assert kinds(graph) == {}
        assert graph.r2_held_out == pytest.approx(graph.r2_linear, abs=0.05)

    def test_pure_noise_names_nothing(self):
        assert kinds(fitted(noisy(lambda _: 0.0, 1.0))) == {}

    def test_seeds_repeat(self):
        assert fitted(game(planted)) == fitted(game(planted))


def test_fastfm_recovers_planted_weights_among_200_features():
    """Pairs of weight 2.0 and -1.5 among 19,900, from 2,000 masks."""
    random = np.random.default_rng(0)
    masks = random.random((2000, 200)) < 0.5
    scores = 2.0 * (masks[:, 3] & masks[:, 7]) - 1.5 * (masks[:, 10] & masks[:, 20])
    scores = scores + 0.3 * masks[:, 5] + 0.05 * random.normal(size=2000)
    chosen = Hyperparameters(rank=4, l2=5.0, coding="plus_minus")
    pairs = fit_als(masks, scores, chosen, seed=0).pairs
    assert pairs[3, 7] == pytest.approx(2.0, abs=0.1)
    assert pairs[10, 20] == pytest.approx(-1.5, abs=0.1)
    pairs[[3, 7, 10, 20], [7, 3, 20, 10]] = 0.0
    assert np.abs(pairs).max() < 0.1


def test_the_other_solvers_recover_the_same_weights():
    random = np.random.default_rng(0)
    masks = random.random((800, 30)) < 0.5
    scores = 2.0 * (masks[:, 3] & masks[:, 7]) - 1.5 * (masks[:, 10] & masks[:, 20])
    scores = scores + 0.05 * random.normal(size=800)
    posterior = fit_bayes(masks, scores, rank=4, coding="plus_minus", seed=0)
    low, high = posterior.interval()
    for pairs in (posterior.mean.pairs, fit_lasso(masks, scores).model.pairs):
        assert pairs[3, 7] == pytest.approx(2.0, abs=0.15)
        assert pairs[10, 20] == pytest.approx(-1.5, abs=0.15)
    assert low[3, 7] - 0.05 < 2.0 < high[3, 7] + 0.05
    assert low[0, 1] < 0.0 < high[0, 1], "a pair that does not interact is not claimed to"


@given(
    npst.arrays(np.float64, 5, elements=st.floats(-3, 3)),
    npst.arrays(np.float64, (5, 5), elements=st.floats(-3, 3)),
    st.floats(-3, 3),
)
def test_both_codings_describe_one_function(main: np.ndarray, raw: np.ndarray, intercept: float):
    pairs = np.triu(raw, 1) + np.triu(raw, 1).T
    masks, _ = draw_masks(5, 32, 0)
    signs = coded(masks, "plus_minus")
    direct = intercept + signs @ main + 0.5 * np.einsum("mi,ij,mj->m", signs, pairs, signs)
    np.testing.assert_allclose(
        from_plus_minus(intercept, main, pairs).predict(masks), direct, atol=1e-9
    )


def test_all_masks_of_a_few_players_give_exact_second_differences():
    """y = 1 - 2 z0 z1 + z2, and a triple of weight 4 that spreads evenly over its pairs."""
    masks, design = draw_masks(3, 8, 0)
    z = masks.astype(float)
    pairs = fit_exact(masks, 1 - 2 * z[:, 0] * z[:, 1] + z[:, 2]).pairs
    np.testing.assert_allclose(pairs[np.triu_indices(3, 1)], [-2.0, 0.0, 0.0], atol=1e-9)
    triple = fit_exact(masks, 4 * z.prod(axis=1)).pairs
    np.testing.assert_allclose(triple[np.triu_indices(3, 1)], 2.0, atol=1e-9)
    assert design == "all"


def test_a_few_players_are_not_fitted_but_computed():
    graph = interactions(
        game(lambda s: -2.0 if {A, B} <= s else 1.0),
        [A, B, C],
        scope="p",
        n_masks=256,
        seed=0,
        solver="fm_bayes",
        n_shuffles=20,
    )
    assert graph.solver == "exact"
    assert graph.n_masks == 8
    assert graph.pairs[0].weight == pytest.approx(-3.0)
    assert graph.pairs[0].lasso is None


@pytest.mark.parametrize(
    ("players", "score", "reason"),
    [
        (PLAYERS[:1], game(lambda s: float(len(s))), "fewer than two"),
        (PLAYERS, game(lambda _: 1.0), "no mask moves the score"),
    ],
)
def test_where_nothing_can_be_fitted_the_reason_is_given(players, score: Score, reason: str):
    graph = interactions(
        score, players, scope="p", n_masks=128, seed=0, solver="fm_als", n_shuffles=20
    )
    assert reason in graph.reason
    assert graph.pairs == ()


def test_scores_that_are_not_numbers_are_our_mistake():
    masks, _ = draw_masks(8, 64, 0)
    with pytest.raises(AssertionError):
        fit_linear(masks, np.full(64, np.nan))


def test_cross_validation_prefers_what_predicts():
    random = np.random.default_rng(2)
    masks = random.random((300, 10)) < 0.5
    scores = planted_rank_one(masks) + 0.1 * random.normal(size=300)
    chosen = cross_validated(masks, scores, seed=0)
    fresh = random.random((300, 10)) < 0.5
    model = fit_als(masks, scores, chosen, seed=0)
    assert r_squared(planted_rank_one(fresh), model.predict(fresh)) > 0.9


def planted_rank_one(masks: np.ndarray) -> np.ndarray:
    v = np.linspace(-1.0, 1.0, masks.shape[1])
    pairs = np.outer(v, v)
    np.fill_diagonal(pairs, 0.0)
    model = PairModel(intercept=0.0, main=v, pairs=pairs)
    return model.predict(masks)


class TestMasks:
    @given(st.integers(9, 40), st.integers(64, 200), st.integers(0, 1000))
    def test_random_masks_are_distinct_and_hold_both_ends(self, n: int, n_masks: int, seed: int):
        masks, design = draw_masks(n, n_masks, seed)
        assert design == "random"
        assert len({mask.tobytes() for mask in masks}) == n_masks
        assert not masks[0].any()
        assert masks[1].all()

    def test_a_quarter_is_put_apart(self):
        assert held_out_rows(400, 0).sum() == 100


class TestPlayers:
    def test_a_feature_that_works_only_behind_another_is_among_the_strongest(self):
        """B does nothing alone, and everything once A is ablated."""
        score = game(lambda s: 3.0 - 0.1 * (C in s) - 4.0 * (A in s and B in s))
        players, n_sets = strongest_players(score, PLAYERS, always=frozenset(), max_players=2)
        assert players == [A, B]
        assert n_sets == 2 + 2 * len(PLAYERS)

    def test_features_without_effect_do_not_play_unless_always_asked_for(self):
        score = game(lambda s: 1.0 * (A in s))
        assert strongest_players(score, PLAYERS, always=frozenset(), max_players=9)[0] == [A]
        always = strongest_players(score, PLAYERS, always=frozenset([D]), max_players=9)[0]
        assert always == [A, D]
