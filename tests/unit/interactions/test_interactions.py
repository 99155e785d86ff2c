"""Interactions of set functions whose interactions are written down."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sae_audit.findings import InteractionGraph, PairKind
from sae_audit.interactions import fm_bayes
from sae_audit.interactions.fit import interactions
from sae_audit.interactions.masks import draw_masks, held_out_rows
from sae_audit.interactions.players import strongest_players
from sae_audit.interactions.solver import Hyperparameters
from sae_audit.interactions.solvers import SolverName
from sae_audit.vocabulary import FeatureSet, Score
from tests.games import features, game

PLAYERS = features(12)
A, B, C, D, *REST = PLAYERS


def fitted(
    score: Score,
    solver: SolverName = "walsh",
    *,
    n_masks: int = 256,
    n_shuffles: int = 20,
    hyperparameters: Hyperparameters | None = None,
) -> InteractionGraph:
    return interactions(
        [score],
        PLAYERS,
        scope="p",
        n_masks=n_masks,
        seed=0,
        solver=solver,
        n_shuffles=n_shuffles,
        hyperparameters=hyperparameters,
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
    @pytest.mark.parametrize("solver", ["walsh", "fm_bayes", "fm_als", "lasso"])
    def test_redundant_and_shared_pairs_are_told_apart(self, solver: SolverName):
        graph = fitted(noisy(planted), solver)
        assert kinds(graph) == {
            frozenset([A, B]): PairKind.REDUNDANT,
            frozenset([C, D]): PairKind.SHARED_PATH,
        }
        strongest, second = graph.pairs[:2]
        assert strongest.weight == pytest.approx(-3.0, abs=0.2)
        assert second.weight == pytest.approx(2.0, abs=0.2)
        assert strongest.low < -3.0 < strongest.high or abs(strongest.weight + 3.0) < 0.1
        assert graph.r2 is not None
        assert graph.r2.solver.low > 0.98 > graph.r2.linear.high
        assert graph.r2.gain.low > 0.0

    @pytest.mark.parametrize("solver", ["walsh", "fm_bayes", "fm_als", "lasso"])
    def test_without_interactions_none_is_named(self, solver: SolverName):
        graph = fitted(noisy(lambda ablated: 4.0 - 0.3 * len(ablated), 0.3), solver)
        assert kinds(graph) == {}
        assert graph.r2 is not None
        assert graph.r2.gain.value == pytest.approx(0.0, abs=0.05)

    def test_pure_noise_names_nothing(self):
        assert kinds(fitted(noisy(lambda _: 0.0, 1.0))) == {}

    def test_seeds_repeat(self):
        once, again = (fitted(game(planted), n_shuffles=2) for _ in range(2))
        assert once == again

    def test_a_graph_survives_json(self):
        graph = fitted(noisy(planted), n_shuffles=2)
        adapter = TypeAdapter(InteractionGraph)
        written = adapter.dump_json(graph)
        assert b"NaN" not in written
        assert adapter.validate_json(written) == graph


class TestHyperparameters:
    given = Hyperparameters(rank=4, l2=5.0, coding="plus_minus")

    def test_those_given_are_used_and_not_chosen_again(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(
            fm_bayes, "cross_validated", lambda *_, **__: pytest.fail("chose again")
        )
        graph = fitted(noisy(planted), hyperparameters=self.given)
        als = next(f for f in graph.fits if f.solver == "fm_als")
        assert Hyperparameters(rank=als.rank, l2=als.l2, coding=als.coding) == self.given
        assert len(kinds(graph)) == 2


def test_a_few_players_are_not_fitted_but_computed():
    graph = interactions(
        [game(lambda s: -2.0 if {A, B} <= s else 1.0)],
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
    assert graph.pairs[0].low == graph.pairs[0].weight == graph.pairs[0].high
    assert graph.r2 is None, "no mask was kept apart"
    # y = 1 - 3 z_a z_b has variance 27/16; its +-1 coefficients are 3/4, twice in main effects.
    assert graph.explained is not None
    assert graph.explained.linear == pytest.approx(2 / 3)
    assert graph.explained.pairs == pytest.approx(1.0)


def test_what_was_computed_leaves_to_triples_what_pairs_do_not_explain():
    """y = z_a z_b z_c: variance 7/64, of which three mains and three pairs explain 1/64 each."""
    graph = interactions(
        [game(lambda s: 1.0 * ({A, B, C} <= s))],
        [A, B, C],
        scope="p",
        n_masks=8,
        seed=0,
        solver="walsh",
        n_shuffles=1,
    )
    assert graph.explained is not None
    assert graph.explained.linear == pytest.approx(3 / 7)
    assert graph.explained.pairs == pytest.approx(6 / 7)


@pytest.mark.parametrize(
    ("players", "score", "reason"),
    [
        (PLAYERS[:1], game(lambda s: float(len(s))), "fewer than two"),
        (PLAYERS, game(lambda _: 1.0), "no mask moves the score"),
    ],
)
def test_where_nothing_can_be_fitted_the_reason_is_given(players, score: Score, reason: str):
    graph = interactions(
        [score], players, scope="p", n_masks=128, seed=0, solver="fm_als", n_shuffles=20
    )
    assert reason in graph.reason
    assert graph.pairs == ()
    assert (graph.r2, graph.explained, graph.null_weight) == (None, None, None)


@pytest.mark.parametrize("only_on", ["held out", "train"])
@pytest.mark.parametrize("solver", ["walsh", "fm_bayes", "fm_als", "lasso"])
def test_a_score_that_varies_on_one_side_of_the_split_alone(solver: SolverName, only_on: str):
    """No fit exists where training scores are equal, and no R2 where held-out ones are."""
    masks, _ = draw_masks(len(PLAYERS), 128, 0)
    side = masks[held_out_rows(128, 0) == (only_on == "held out")]
    moving = frozenset(np.array(PLAYERS, dtype=object)[side[3]])
    graph = fitted(game(lambda ablated: -1.0 if ablated == moving else 3.0), solver, n_masks=128)
    assert "held-out masks" in graph.reason
    assert graph.pairs == ()


def test_one_mask_on_either_side_that_moves_the_score_names_nothing():
    """Folds and resamples of it are constant: every solver must bear that."""
    masks, _ = draw_masks(len(PLAYERS), 128, 0)
    apart = held_out_rows(128, 0)
    moving = {
        frozenset(np.array(PLAYERS, dtype=object)[masks[side][3]]) for side in (apart, ~apart)
    }
    score = game(lambda ablated: -1.0 if ablated in moving else 3.0)
    for solver in ("walsh", "fm_bayes", "fm_als", "lasso"):
        graph = fitted(score, solver, n_masks=128, n_shuffles=2)
        assert graph.reason == ""
        assert kinds(graph) == {}


@pytest.mark.parametrize("shape", [(256, 1), (5,), (0,)])
def test_scores_of_another_shape_are_our_mistake(shape: tuple[int, ...]):
    with pytest.raises(AssertionError):
        fitted(lambda sets: np.arange(float(np.prod(shape))).reshape(shape))  # noqa: ARG005


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_our_mistake(value: float):
    with pytest.raises(AssertionError, match="not finite"):
        fitted(game(lambda ablated: value if {A, B, C} <= ablated else float(len(ablated))))


def test_a_player_named_twice_is_our_mistake():
    with pytest.raises(AssertionError):
        interactions(
            [game(lambda s: float(len(s)))],
            [A, A, B],
            scope="p",
            n_masks=64,
            seed=0,
            solver="fm_als",
            n_shuffles=1,
        )


class TestMasks:
    @given(st.integers(9, 40), st.integers(64, 200), st.integers(0, 1000))
    def test_random_masks_are_distinct_and_take_each_feature_half_of_the_time(
        self, n: int, n_masks: int, seed: int
    ):
        masks, design = draw_masks(n, n_masks, seed)
        assert design == "random"
        assert len({mask.tobytes() for mask in masks}) == n_masks
        assert masks.mean() == pytest.approx(0.5, abs=6 * 0.5 / np.sqrt(masks.size))

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
