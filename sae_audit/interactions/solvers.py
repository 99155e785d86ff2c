"""All solvers of the pairwise model, fitted to the same masks and held against each other."""

from typing import Literal

from sae_audit.findings import SolverFit
from sae_audit.interactions import fm_bayes
from sae_audit.interactions.fm_als import fit_als, installed
from sae_audit.interactions.fm_bayes import fit_bayes
from sae_audit.interactions.lasso import fit_lasso
from sae_audit.interactions.linear import fit_linear
from sae_audit.interactions.pair_model import Masks, Scores, r_squared
from sae_audit.interactions.solver import Fitted, FittedWalsh, Hyperparameters, Solver
from sae_audit.interactions.walsh import fit_walsh

SolverName = Literal["walsh", "fm_bayes", "fm_als", "lasso"]

SOLVERS: dict[str, Solver] = {
    "walsh": fit_walsh,
    "fm_bayes": fit_bayes,
    "fm_als": fit_als,
    "lasso": fit_lasso,
    "linear": fit_linear,
}
"""In the order of a graph's `fits`."""


def fitted_all(
    masks: Masks, scores: Scores, solver: SolverName, *, seed: int, given: Hyperparameters | None
) -> dict[str, Fitted]:
    """Every solver's fit; both factorization machines have one rank and coding.

    fastFM is left out where it is not installed, unless it is `solver`.
    """
    machine = given or fm_bayes.cross_validated(masks, scores, seed=seed)
    fitted: dict[str, Fitted] = {}
    for name, solve in SOLVERS.items():
        if name == "fm_als" and solver != name and not installed():
            continue
        chosen = machine if name.startswith("fm_") else None
        fitted[name] = solve(masks, scores, seed=seed, chosen=chosen)
    return fitted


def solver_fit(name: str, fitted: Fitted, masks: Masks, scores: Scores) -> SolverFit:
    """How well it predicts these masks, which it has not seen."""
    return SolverFit(
        solver=name,
        coding=fitted.chosen.coding,
        rank=fitted.chosen.rank,
        l2=fitted.chosen.l2,
        r2_held_out=r_squared(scores, fitted.predict(masks)),
    )


def best_pairwise(fitted: dict[str, Fitted], masks: Masks, scores: Scores) -> float:
    """R2 of the pairwise model that predicts these masks best."""
    models = [one.model for one in fitted.values()]
    assert any(isinstance(one, FittedWalsh) for one in fitted.values()), list(fitted)
    return max(r_squared(scores, model.predict(masks)) for model in models)
