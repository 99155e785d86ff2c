"""Interface of the solvers of the pairwise model, and their results."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sae_audit.interactions.pair_model import Masks, PairModel, Pairs, Scores, coded
from sae_audit.interactions.walsh_terms import Term, products


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Settings fixed before a fit; chosen once, they can be reused."""

    rank: int
    """Rank of the factorization; 0 if the solver has none."""
    l2: float
    """L2 strength on the factors V of standardised scores (a tenth of it on main effects), or the
    lasso's L1 strength; 0.0 if the solver samples or chooses it itself."""
    coding: str
    """Mask coding, `zero_one` or `plus_minus`."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One solver's fit."""

    model: PairModel
    chosen: Hyperparameters
    """Settings it was fitted with; a solver given them does not choose again."""

    def predict(self, masks: Masks) -> Scores:
        """Refusal scores of masks, nats."""
        return self.model.predict(masks)

    def pair_weights(self) -> Pairs:
        """Second differences, 0/1 masks, nats; symmetric, zero diagonal."""
        return self.model.pairs


@dataclass(frozen=True, kw_only=True)
class FittedPosterior(Fitted):
    """A fit with its own uncertainty; `model` is the posterior mean."""

    samples: Float[np.ndarray, "sample player player"]
    """Posterior samples of the pair weights, as `pair_weights`."""

    def interval(self) -> tuple[Pairs, Pairs]:
        """Lower and upper ends of each pair's central 95%."""
        low, high = np.quantile(self.samples, [0.025, 0.975], axis=0)
        return low, high


@dataclass(frozen=True, kw_only=True)
class FittedWalsh(Fitted):
    """A sparse model with terms of any order; `model` is its pairwise part."""

    terms: tuple[Term, ...]
    coefficients: Float[np.ndarray, " term"]
    """Coefficients of products of s = 2z - 1; a term of order k is a k-th difference divided by 2^k."""
    weights: Pairs
    """Pair weights, for pairs without a term estimated from the residuals."""
    reach: Pairs
    """Half the width of each weight's 95% interval."""
    fresh: Scores
    """Residual of each mask under the model fitted on the other folds, nats."""

    def predict(self, masks: Masks) -> Scores:
        return products(coded(masks, "plus_minus"), self.terms) @ self.coefficients

    def pair_weights(self) -> Pairs:
        return self.weights

    @property
    def error(self) -> float:
        """Standard error of any one coefficient, from cross-fitted residuals."""
        return float(np.sqrt((self.fresh**2).mean() / len(self.fresh)))

    def interval(self) -> tuple[Pairs, Pairs]:
        """Lower and upper ends of each pair's 95% interval."""
        return self.weights - self.reach, self.weights + self.reach


@runtime_checkable
class Solver(Protocol):
    """Fits the pairwise model to measured masks."""

    def __call__(
        self,
        masks: Masks,
        scores: Scores,
        *,
        seed: int,
        chosen: Hyperparameters | None = None,
    ) -> Fitted:
        """The fitted model.

        Without `chosen` the solver chooses by cross-validation on these masks. A solver without
        hyperparameters or randomness ignores `chosen` or `seed`.
        """
        ...
