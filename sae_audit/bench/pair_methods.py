"""Every method of weighing feature pairs that the bench compares, behind one signature.

Given a set function and a budget of sets to score, a method returns a weight for every pair. Methods
from other fields estimate other quantities (Shapley interactions average over set sizes, not over sets),
so the bench compares rankings of pairs, not nats.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sae_audit.bench.asking import Asked
from sae_audit.bench.measured_pairs import measured_pairs
from sae_audit.bench.shapiq_methods import proxy_spex, shapley_interactions
from sae_audit.config import InteractionSettings
from sae_audit.interactions.classification import fm_probit
from sae_audit.interactions.exact import fit_exact
from sae_audit.interactions.linear import fit_linear
from sae_audit.interactions.masks import draw_masks
from sae_audit.interactions.pair_model import Pairs, coded
from sae_audit.interactions.solvers import SOLVERS
from sae_audit.vocabulary import FeatureId, Score

_EXACT_PLAYERS = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class PairAnswer:
    """A method's answer for all pairs of players."""

    weights: Pairs
    """Nats, symmetric, zero diagonal; negative: redundant."""
    n_sets_scored: int
    """Number of distinct sets scored."""
    seconds: float
    """Total run time, the set function's included."""


@runtime_checkable
class PairMethod(Protocol):
    """Weighs every pair of players of a set function."""

    def __call__(
        self, score: Score, players: Sequence[FeatureId], *, budget: int, seed: int
    ) -> PairAnswer:
        """The answer after at most `budget` sets.

        Raises:
            AuditError: a required library is not installed.
        """
        ...


_Weigh = Callable[[Asked, int, int], Pairs]
"""Weights from a set function, within a budget, seeded."""


def _method(weigh: _Weigh) -> PairMethod:
    def answer(score: Score, players: Sequence[FeatureId], *, budget: int, seed: int) -> PairAnswer:
        asked = Asked(score, players)
        started = time.perf_counter()
        weights = weigh(asked, budget, seed)
        seconds = time.perf_counter() - started
        assert asked.n_sets <= budget, (asked.n_sets, budget)
        return PairAnswer(weights=weights, n_sets_scored=asked.n_sets, seconds=seconds)

    return answer


def _fitted(solver: str, asked: Asked, budget: int, seed: int) -> Pairs:
    """Weights by a solver of the audit on random masks, or exact ones if every mask is measured."""
    masks, design = draw_masks(asked.n, budget, seed)
    scores = asked(masks)
    if design == "all":
        return fit_exact(masks, scores).pairs
    return SOLVERS[solver](masks, scores, seed=seed).pair_weights()


def _residual_screening(asked: Asked, budget: int, seed: int) -> Pairs:
    """Mean residual of the linear model times each pair's product, in one matrix product."""
    masks, _ = draw_masks(asked.n, budget, seed)
    scores = asked(masks)
    residual = scores - fit_linear(masks, scores, seed=seed).predict(masks)
    signs = coded(masks, "plus_minus")
    weights = 4.0 * (signs * residual[:, None]).T @ signs / len(masks)
    np.fill_diagonal(weights, 0.0)
    return (weights + weights.T) / 2.0


def _random(asked: Asked, budget: int, seed: int) -> Pairs:
    """Random weights, the control."""
    del budget
    drawn = np.triu(np.random.default_rng(seed).normal(size=(asked.n, asked.n)), k=1)
    return drawn + drawn.T


def exact_differences(
    score: Score, players: Sequence[FeatureId], *, budget: int, seed: int
) -> PairAnswer:
    """Second differences averaged over all states of the others, from all 2^n sets.

    Raises:
        AssertionError: more than 12 players, or 2^n sets exceed the budget.
    """
    assert len(players) <= _EXACT_PLAYERS, len(players)
    assert 2 ** len(players) <= budget, (2 ** len(players), budget)
    return _method(partial(_fitted, "walsh"))(score, players, budget=budget, seed=seed)


_FITTED = ("walsh", "fm_bayes", "fm_als", "lasso")

PAIR_METHODS: Mapping[str, PairMethod] = {
    **{solver: _method(partial(_fitted, solver)) for solver in _FITTED},
    "measured_pairs": _method(measured_pairs),
    "residual_screening": _method(_residual_screening),
    "shapley_interactions": _method(shapley_interactions),
    "proxy_spex": _method(proxy_spex),
    "random": _method(_random),
}
"""Every method for any number of players; `exact_differences` takes at most 12."""

DEFAULT: str = InteractionSettings.model_fields["solver"].default
"""Default method of `interactions()`."""


def co_activation(
    activations: Float[np.ndarray, "prompt feature"], *, refused: Sequence[bool], seed: int
) -> PairAnswer:
    """Weights by the form of 2509.09708, from activations (largest over tokens) instead of ablation.

    A probit factorization machine of refused against complied, each feature in units of its deviation
    over prompts; no set is scored. A negative weight means that both firing makes refusal less likely
    than each alone suggests, as for two features of which either suffices.

    Raises:
        AssertionError: all prompts have one label.
    """
    labels = np.asarray(refused, dtype=bool)
    assert labels.any(), "no prompt is refused"
    assert not labels.all(), "every prompt is refused"
    started = time.perf_counter()
    deviation = activations.std(axis=0)
    scaled = (activations - activations.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)
    weights = fm_probit(scaled, labels, scaled, seed=seed).pairs
    return PairAnswer(weights=weights, n_sets_scored=0, seconds=time.perf_counter() - started)
