"""The curve over single effects: what it explains, what it must leave, and what then is named."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.bench.games import Game, read_out_game, redundant, shared_path
from sae_audit.findings import InteractionGraph, PairKind
from sae_audit.interactions.beyond_curve import beyond_curve, beyond_curve_exactly
from sae_audit.interactions.curve import fit_curve
from sae_audit.interactions.exact import fit_exact
from sae_audit.interactions.fit import interactions
from sae_audit.interactions.linear import fit_linear
from sae_audit.interactions.masks import draw_masks
from sae_audit.interactions.pair_model import r_squared
from sae_audit.interactions.solver import Hyperparameters
from sae_audit.vocabulary import FeatureSet, Score
from tests.games import features, game

N, N_MASKS = 16, 256
CHOSEN = Hyperparameters(rank=4, l2=5.0, coding="plus_minus")
Shape = Callable[[np.ndarray], np.ndarray]
SHAPES: dict[str, Shape] = {
    "straight": lambda u: 2.0 * u,
    "between a ceiling and a floor": lambda u: -9.5 + 13.9 / (1.0 + np.exp(-1.5 * u - 0.8)),
    "ceiling": lambda u: 4.4 - 2.0 * np.logaddexp(0.0, -u),
    "floor": lambda u: -9.5 + 2.0 * np.logaddexp(0.0, u),
    "step": lambda u: np.tanh(4.0 * u + 2.0),
}


def effects(seed: int, n: int = N) -> np.ndarray:
    return -np.random.default_rng([seed, 8]).exponential(1.0, n)


def bent(masks: np.ndarray, shape: Shape, seed: int) -> np.ndarray:
    """Single effects, added up and read through the shape; u has deviation one."""
    weights = effects(seed, masks.shape[1])
    deviation = np.sqrt((weights**2).sum()) / 2.0
    return shape((masks @ weights - weights.sum() / 2.0) / deviation)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_single_effects_through_any_curve_are_explained_on_fresh_masks(name: str, seed: int):
    masks, fresh = draw_masks(N, N_MASKS, seed)[0], draw_masks(N, N_MASKS, seed + 100)[0]
    scores, expected = (bent(drawn, SHAPES[name], seed) for drawn in (masks, fresh))
    explained = r_squared(expected, fit_curve(masks, scores).predict(fresh))
    assert explained > 0.98
    if name != "straight":
        linear = r_squared(expected, fit_linear(masks, scores, seed=0).predict(fresh))
        assert linear < explained - 0.01


@given(st.integers(0, 10_000), st.sampled_from(sorted(SHAPES)))
@settings(max_examples=15, deadline=None)
def test_it_is_monotone_in_its_sum(seed: int, name: str):
    masks = draw_masks(N, 120, seed)[0]
    noise = np.random.default_rng(seed).normal(size=120)
    fitted = fit_curve(masks, bent(masks, SHAPES[name], seed) + noise)
    fresh = draw_masks(N, 300, seed + 1)[0]
    order = np.argsort(fitted.total(fresh))
    assert (np.diff(fitted.predict(fresh)[order]) >= -1e-9).all()


def test_a_pair_is_no_curve():
    """Beside other effects no curve of the sum holds a pair's product."""
    masks = draw_masks(N, N_MASKS, 0)[0]
    scores = masks @ effects(0) - 3.0 * (masks[:, 0] & masks[:, 1])
    assert r_squared(scores, fit_curve(masks, scores).predict(masks)) < 0.98
    found = beyond_curve(masks, [scores], seed=0, n_shuffles=20, negligible=0.05)
    assert -3.0 < found.pairs[0, 1] < -1.0, "the curve takes a part of it"
    assert abs(found.pairs[0, 1]) > found.null


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_constant_scores_are_that_constant(value: float):
    masks = draw_masks(N, 60, 0)[0]
    fitted = fit_curve(masks, np.full(60, value))
    np.testing.assert_allclose(fitted.predict(masks), value)


def test_scores_that_are_not_finite_are_our_mistake():
    masks = draw_masks(N, 60, 0)[0]
    with pytest.raises(AssertionError, match="not finite"):
        fit_curve(masks, np.full(60, np.nan))


def test_the_mean_over_prompts_has_a_curve_a_prompt():
    """Prompts that saturate at different places: no curve of one sum, and no pair."""
    masks = draw_masks(N, N_MASKS, 0)[0]
    prompts = [bent(masks, SHAPES["ceiling"], seed) for seed in range(4)]
    apart = beyond_curve(masks, prompts, seed=0, n_shuffles=20, negligible=0.05)
    assert np.abs(apart.pairs).max() <= apart.null
    as_one = beyond_curve(masks, [np.mean(prompts, axis=0)], seed=0, n_shuffles=20, negligible=0.05)
    assert np.abs(as_one.pairs).max() > as_one.null


class TestEveryMask:
    """With up to 64 masks all are scored, and weights have no error to hide in."""

    @pytest.mark.parametrize("name", SHAPES)
    @pytest.mark.parametrize("n", [2, 4, 6])
    def test_a_curve_leaves_no_pair(self, n: int, name: str):
        masks = draw_masks(n, 2**n, 0)[0]
        before: list[float] = []
        for seed in range(5):
            scores = bent(masks, SHAPES[name], seed)
            left = beyond_curve_exactly(masks, [scores], negligible=0.05)
            assert np.abs(left.pairs).max() < 0.05
            before.append(float(np.abs(fit_exact(masks, scores).pairs).max()))
        assert (max(before) > 0.05) == (name != "straight"), "nothing to explain"

    @pytest.mark.parametrize("name", ["straight", "between a ceiling and a floor"])
    def test_a_pair_among_single_effects_is_left_and_no_other(self, name: str):
        masks = draw_masks(6, 64, 0)[0]
        weights = np.array([-1.0, -1.3, -0.7, -0.5, -0.9, -0.4])
        total = masks @ weights - 2.0 * (masks[:, 0] & masks[:, 1])
        scores = SHAPES[name]((total - total.mean()) / total.std())
        graph = named_by([game_of(masks, scores)], features(6))
        assert [(p.a.index, p.b.index, p.kind) for p in graph.named] == [(0, 1, PairKind.REDUNDANT)]
        assert graph.predicts

    def test_two_features_alone_are_no_pair_but_a_curve(self):
        """Nothing tells `both are needed` from a threshold on their sum."""
        graph = named_by([game(lambda s: -2.0 if set(features(2)) <= s else 1.0)], features(3))
        assert graph.named == ()
        assert not graph.predicts
        assert graph.explained is not None
        assert graph.explained.curve == pytest.approx(1.0)
        assert "leaves no pair" in graph.why_unnamed


def game_of(masks: np.ndarray, scores: np.ndarray) -> Score:
    value = {
        tuple(int(i) for i in np.flatnonzero(mask)): float(y)
        for mask, y in zip(masks, scores, strict=True)
    }
    return game(lambda s: value[tuple(sorted(one.index for one in s))])


def named_by(scores: Sequence[Score], players, *, seed: int = 0) -> InteractionGraph:
    return interactions(
        scores,
        players,
        scope="p",
        n_masks=N_MASKS,
        seed=seed,
        solver="walsh",
        n_shuffles=20,
        hyperparameters=CHOSEN,
    )


def noisy(planted: Game, seed: int) -> Score:
    random = np.random.default_rng([seed, 6])

    def score(sets: Sequence[FeatureSet]) -> np.ndarray:
        return planted(sets) + 0.3 * random.normal(size=len(sets))

    return score


def graph_of(planted: Game, seed: int) -> InteractionGraph:
    return named_by([noisy(planted, seed)], planted.players, seed=seed)


def clear_without_a_curve(graph: InteractionGraph) -> bool:
    """Whether interval, null and lasso alone, without any rival, would name a pair."""
    assert graph.null_weight is not None
    return any(
        abs(p.weight) > graph.null_weight
        and not p.low <= 0.0 <= p.high
        and (p.lasso or 0.0) * p.weight > 0.0
        for p in graph.pairs
    )


@pytest.mark.slow
def test_one_curve_over_single_effects_names_pairs_in_at_most_one_graph_of_twenty():
    """Of 20 graphs one may; interval, null and lasso alone would name some in more."""
    graphs = [graph_of(read_out_game(N, seed, saturated=True), seed) for seed in range(20)]
    assert sum(bool(graph.named) for graph in graphs) <= 1
    assert sum(clear_without_a_curve(graph) for graph in graphs) >= 4
    curves = [graph.r2.curve.value for graph in graphs if graph.r2 is not None]
    assert np.mean(curves) > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize("kind", [redundant, shared_path])
def test_planted_pairs_are_still_named(kind, saturated: bool):
    """At least five of eight pairs of .5 to 3 nats, and no other pair in four graphs."""
    wanted = PairKind.REDUNDANT if kind is redundant else PairKind.SHARED_PATH
    right = other = 0
    for seed in range(4):
        planted = read_out_game(N, seed, kind=kind, n_pairs=2, saturated=saturated)
        pairs = {frozenset(g.members) for g in planted.gadgets if len(g.members) == 2}
        for pair in graph_of(planted, seed).named:
            hit = frozenset([pair.a.index, pair.b.index]) in pairs and pair.kind is wanted
            right, other = right + hit, other + (not hit)
    assert right >= 5
    assert other == 0


def test_a_graph_that_does_not_predict_says_by_how_much():
    graph = graph_of(read_out_game(N, 0, saturated=True), 0)
    assert not graph.predicts
    assert graph.r2 is not None
    gain = min(graph.r2.pairs_over_linear, graph.r2.pairs_over_curve, key=lambda one: one.low)
    assert gain.low <= 0.0
    assert "do not predict held-out masks better than" in graph.why_unnamed
    assert "gain in R2" in graph.why_unnamed


def test_ranges_under_the_curve_hold_the_weights_that_are_not_named():
    graph = graph_of(read_out_game(N, 3, kind=redundant, n_pairs=2, saturated=True), 3)
    assert graph.null_beyond_curve is not None
    for pair in graph.pairs:
        middle = (pair.curve_low + pair.curve_high) / 2.0
        assert pair.weight - middle == pytest.approx(pair.beyond_curve)
        outside = not pair.curve_low <= pair.weight <= pair.curve_high
        assert outside == (abs(pair.beyond_curve) > graph.null_beyond_curve)
        assert outside or pair.kind is PairKind.UNCLEAR
