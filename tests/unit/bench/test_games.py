"""Games' stated truth against brute force over every mask."""

from itertools import combinations

import numpy as np
import pytest

from sae_audit.bench.games import GAMES, Gadget, Game, Saturation, planted_game, redundant
from sae_audit.vocabulary import FeatureId

N = 9
MASKS = (np.arange(1 << N)[:, None] >> np.arange(N) & 1).astype(bool)


def brute_force(game: Game) -> np.ndarray:
    """Second differences, averaged over all states of the other players, by their definition."""
    score = {mask.tobytes(): value for mask, value in zip(MASKS, game.of_masks(MASKS), strict=True)}
    weights = np.zeros((N, N))
    for i, j in combinations(range(N), 2):
        differences = []
        for mask in MASKS[~MASKS[:, i] & ~MASKS[:, j]]:
            a, b, both = mask.copy(), mask.copy(), mask.copy()
            a[i] = b[j] = both[i] = both[j] = True
            value = score[both.tobytes()] - score[a.tobytes()] - score[b.tobytes()]
            differences.append(value + score[mask.tobytes()])
        weights[i, j] = weights[j, i] = np.mean(differences)
    return weights


@pytest.mark.parametrize("name", GAMES)
def test_truth_is_the_banzhaf_interaction(name: str):
    """Also where the whole sum is saturated, and every pair interacts."""
    game = planted_game(name, N, 3)
    np.testing.assert_allclose(game.truth, brute_force(game), atol=1e-9)


def test_two_features_of_which_either_suffices_by_hand():
    gadget = Gadget(members=(0, 1), table=np.array([0.0, 0.0, 0.0, -2.0]))
    game = Game(name="or", players=(FeatureId(0, 0), FeatureId(0, 1)), gadgets=(gadget,))
    np.testing.assert_array_equal(game.truth, [[0.0, -2.0], [-2.0, 0.0]])
    assert game([frozenset(), frozenset(game.players)]).tolist() == [0.0, -2.0]


def test_three_votes_of_five_have_no_pair_weight():
    """C(3, 1) = C(3, 2): a third vote is gained as often as it was there already."""
    states = np.arange(32)[:, None] >> np.arange(5) & 1
    table = np.where(states.sum(axis=1) >= 3, -4.0, 0.0)
    players = tuple(FeatureId(0, i) for i in range(5))
    game = Game(
        name="votes", players=players, gadgets=(Gadget(members=tuple(range(5)), table=table),)
    )
    np.testing.assert_allclose(game.truth, 0.0, atol=1e-12)


def test_features_of_two_gadgets_interact_only_through_saturation():
    random = np.random.default_rng(0)
    gadgets = tuple(redundant(members, random) for members in ((0, 1), (2, 3)))
    players = tuple(FeatureId(0, i) for i in range(4))
    plain = Game(name="plain", players=players, gadgets=gadgets)
    saturation = Saturation(height=4.0, centre=-1.0, scale=0.5)
    saturated = Game(name="saturated", players=players, gadgets=gadgets, saturation=saturation)
    assert plain.truth[0, 2] == 0.0
    assert abs(saturated.truth[0, 2]) > 0.01


def test_seeds_repeat_and_differ():
    once, again, other = (planted_game("mixed", 24, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(once.truth, again.truth)
    assert not np.array_equal(once.truth, other.truth)
