"""Every method on small games with known truth, and the measure itself by hand."""

import sys

import numpy as np
import pytest

from sae_audit.bench.games import planted_game
from sae_audit.bench.pair_methods import (
    DEFAULT,
    PAIR_METHODS,
    PairMethod,
    co_activation,
    exact_differences,
)
from sae_audit.bench.pair_metrics import detections
from sae_audit.errors import AuditError
from sae_audit.findings import PairKind
from sae_audit.interactions.fit import interactions
from sae_audit.vocabulary import FeatureSet
from tests.games import features, game

A, B, C, D, *_ = PLAYERS = features(9)
BUDGET = 40 * len(PLAYERS)


def score(ablated: FeatureSet) -> float:
    """A and B cover for each other, C and D share a path; each feature matters a little."""
    total = 5.0 - 0.1 * len(ablated) - 3.0 * (A in ablated and B in ablated)
    return total - 2.0 * (C in ablated or D in ablated)


@pytest.mark.parametrize("name", [name for name in PAIR_METHODS if name != "random"])
def test_every_method_ranks_the_planted_pairs_first_within_its_budget(name: str):
    method = PAIR_METHODS[name]
    assert isinstance(method, PairMethod)
    answer = method(game(score), PLAYERS, budget=BUDGET, seed=0)
    above = answer.weights[np.triu_indices(9, k=1)]
    assert answer.weights[0, 1] == above.min() < -0.5
    assert answer.weights[2, 3] == above.max() > 0.5
    np.testing.assert_array_equal(answer.weights, answer.weights.T)
    np.testing.assert_array_equal(np.diag(answer.weights), 0.0)
    assert 0 < answer.n_sets_scored <= BUDGET


@pytest.mark.parametrize("name", ["walsh", "random", "measured_pairs"])
def test_seeds_repeat(name: str):
    once, again = (PAIR_METHODS[name](game(score), PLAYERS, budget=200, seed=3) for _ in range(2))
    np.testing.assert_array_equal(once.weights, again.weights)


def test_the_control_asks_nothing():
    answer = PAIR_METHODS["random"](game(score), PLAYERS, budget=BUDGET, seed=0)
    assert answer.n_sets_scored == 0
    assert np.abs(answer.weights[np.triu_indices(9, k=1)]).min() > 0.0


def test_exact_differences_are_the_truth():
    planted = planted_game("saturated sum", 9, 0)
    answer = exact_differences(planted, planted.players, budget=512, seed=0)
    np.testing.assert_allclose(answer.weights, planted.truth, atol=1e-9)
    assert answer.n_sets_scored == 512


def test_exact_differences_of_more_players_are_our_mistake():
    with pytest.raises(AssertionError):
        exact_differences(game(score), features(13), budget=10_000, seed=0)


def test_the_default_method_gives_the_weights_that_an_audit_reports():
    planted = planted_game("mixed", 16, 1)
    answer = PAIR_METHODS[DEFAULT](planted, planted.players, budget=256, seed=0)
    graph = interactions(
        [planted], planted.players, scope="p", n_masks=256, seed=0, solver="walsh", n_shuffles=1
    )
    place = {player: i for i, player in enumerate(planted.players)}
    for pair in graph.pairs:
        assert answer.weights[place[pair.a], place[pair.b]] == pytest.approx(pair.weight)


@pytest.mark.parametrize("name", ["pairs", "hubs", "votes", "saturated reads", "mixed"])
def test_the_default_finds_every_planted_pair_with_forty_sets_a_player(name: str):
    planted = planted_game(name, 24, 0)
    answer = PAIR_METHODS[DEFAULT](planted, planted.players, budget=40 * 24, seed=0)
    for found in detections(answer.weights, planted.truth):
        assert found.auroc == 1.0 or found.reason
        assert found.auprc == pytest.approx(1.0) or found.reason


class TestWithoutTheExtra:
    @pytest.mark.parametrize("name", ["shapley_interactions", "proxy_spex"])
    def test_without_shapiq_the_error_names_the_remedy(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setitem(sys.modules, "shapiq.approximator", None)
        with pytest.raises(AuditError, match=r"sae-audit\[bench\]"):
            PAIR_METHODS[name](game(score), PLAYERS, budget=BUDGET, seed=0)

    def test_without_lightgbm(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "lightgbm", None)
        with pytest.raises(AuditError, match="lightgbm is not installed"):
            PAIR_METHODS["proxy_spex"](game(score), PLAYERS, budget=BUDGET, seed=0)


class TestCoActivation:
    def test_features_that_refuse_only_together_get_the_largest_weight(self):
        random = np.random.default_rng(0)
        activations = random.exponential(size=(400, 6))
        refused = activations[:, 0] * activations[:, 1] > 0.6
        weights = co_activation(activations, refused=refused.tolist(), seed=0).weights
        assert weights[0, 1] == weights[np.triu_indices(6, k=1)].max() > 0.1

    def test_one_label_alone_is_our_mistake(self):
        with pytest.raises(AssertionError, match="every prompt"):
            co_activation(np.ones((4, 3)), refused=[True] * 4, seed=0)


class TestDetection:
    def test_by_hand(self):
        """Redundant -2 and -1, of which -1 ranks below one other: 7 of 8 comparisons are won."""
        truth, found = np.zeros((4, 4)), np.zeros((4, 4))
        known = {(0, 1): -2.0, (0, 2): -1.0, (0, 3): 0.04, (1, 2): 0.0, (1, 3): 0.0, (2, 3): 0.0}
        given = {(0, 1): -3.0, (0, 2): -0.5, (0, 3): -0.7, (1, 2): 0.0, (1, 3): 0.1, (2, 3): 0.2}
        for pair in known:
            truth[pair] = truth[pair[::-1]] = known[pair]
            found[pair] = found[pair[::-1]] = given[pair]
        redundant, shared = detections(found, truth)
        assert redundant.kind == PairKind.REDUNDANT
        assert (redundant.n_pairs, redundant.n_all) == (2, 6)
        assert redundant.auroc == pytest.approx(7 / 8)
        assert redundant.auprc == pytest.approx((1 / 1 + 2 / 3) / 2)
        assert (shared.auroc, shared.auprc) == (None, None)
        assert shared.reason == "no pair is shared_path"

    def test_nothing_else_to_rank_below_has_its_reason(self):
        truth = np.array([[0.0, -1.0], [-1.0, 0.0]])
        assert detections(truth, truth)[0].reason == "every pair is redundant"

    def test_weights_that_say_nothing_are_chance(self):
        truth = planted_game("mixed", 16, 0).truth
        for found in detections(np.zeros_like(truth), truth):
            assert found.auroc == 0.5
