"""All solvers of the pairwise model, fitted to the same masks and compared."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from sae_audit.findings import SolverFit
from sae_audit.interactions import fm_bayes
from sae_audit.interactions.fm_als import fit_als, installed
from sae_audit.interactions.fm_bayes import fit_bayes
from sae_audit.interactions.held_out import HeldOut
from sae_audit.interactions.lasso import fit_lasso
from sae_audit.interactions.linear import fit_linear
from sae_audit.interactions.pair_model import Masks, Scores
from sae_audit.interactions.solver import Fitted, Hyperparameters, Solver
from sae_audit.interactions.walsh import fit_walsh

SolverName = Literal["walsh", "fm_bayes", "fm_als", "lasso"]

SOLVERS: dict[str, Solver] = {
    "walsh": fit_walsh,
    "fm_bayes": fit_bayes,
    "fm_als": fit_als,
    "lasso": fit_lasso,
    "linear": fit_linear,
}
"""Solvers by name, in the order of a graph's `fits`."""
_FOLDS = 3


def fitted_all(
    masks: Masks, scores: Scores, solver: SolverName, *, seed: int, given: Hyperparameters | None
) -> dict[str, Fitted]:
    """Every solver's fit; both factorization machines share one rank and coding.

    fastFM is left out if it is not installed, unless it is `solver`.
    """
    machine = given or fm_bayes.cross_validated(masks, scores, seed=seed)
    fitted: dict[str, Fitted] = {}
    for name, solve in SOLVERS.items():
        if name == "fm_als" and solver != name and not installed():
            continue
        chosen = machine if name.startswith("fm_") else None
        fitted[name] = solve(masks, scores, seed=seed, chosen=chosen)
    return fitted


def solver_fit(
    name: str, fitted: Fitted, masks: Masks, held_out: HeldOut, linear: Scores
) -> SolverFit:
    """The solver's quality on unseen masks; `linear` holds the linear model's predictions of them."""
    predicted = fitted.predict(masks)
    return SolverFit(
        solver=name,
        coding=fitted.chosen.coding,
        rank=fitted.chosen.rank,
        l2=fitted.chosen.l2,
        r2_held_out=held_out.r2(predicted),
        gain=None if name == "linear" else held_out.gain(predicted, linear),
    )


def best_pairwise(fitted: Mapping[str, Fitted], masks: Masks, scores: Scores, *, seed: int) -> str:
    """The solver whose pairwise model has the least squared error over three folds of these masks.

    Refits keep each solver's hyperparameters. These were chosen on all of the masks, which may favour a
    solver that has some; held-out masks are not affected.
    """
    fold = np.random.default_rng([seed, len(scores)]).permutation(len(scores)) % _FOLDS

    def error(name: str) -> float:
        squared = 0.0
        for i in range(_FOLDS):
            others, chosen = fold != i, fitted[name].chosen
            model = SOLVERS[name](masks[others], scores[others], seed=seed, chosen=chosen).model
            squared += float(((scores[~others] - model.predict(masks[~others])) ** 2).sum())
        return squared

    return min(fitted, key=error)
