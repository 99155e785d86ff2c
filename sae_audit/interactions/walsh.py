"""Default solver: a sparse model in products of +-1 masks of any order, found by pursuit.

1. Fit the main effects by least squares.
2. Add the pairs, and extensions of terms already in, that correlate with the residuals beyond chance
   (orthogonal matching pursuit); refit; repeat until there is none.
3. Then add groups of players whose products matter together, then any triple. Back to 2.

Under masks that take each feature with probability one half all products are orthogonal. So four times a
pair's coefficient is its Banzhaf weight whatever else the model holds (1205.4842, 2310.05191 for the
sparse case); terms of higher order only reduce its noise.
"""

import numpy as np
from jaxtyping import Float

from sae_audit.interactions.pair_model import (
    Masks,
    PairModel,
    Pairs,
    Scores,
    check_design,
    coded,
    from_plus_minus,
)
from sae_audit.interactions.solver import FittedWalsh, Hyperparameters
from sae_audit.interactions.walsh_terms import (
    LeftOver,
    Proposal,
    Signs,
    Term,
    closures,
    pairs_and_extensions,
    products,
    triples,
)

_FOLDS = 4
_ROUNDS = 80
_SHARE = 0.6
"""Share of the number of masks; the maximum number of terms."""
_ENOUGH = 1e-3
"""Share of the scores' deviation; pursuit stops at a smaller residual."""
_RIDGE = 1e-9
_AT_ONCE = 0.4
"""Share of the strongest proposal's strength; weaker ones wait, as they may be its echo."""
_Z = 1.96


def fit_walsh(
    masks: Masks, scores: Scores, *, seed: int, chosen: Hyperparameters | None = None
) -> FittedWalsh:
    """Pursuit on all masks; weights include the residuals' part, intervals come from cross-fitting.

    It has no hyperparameters. A pair without a term gets its weight from the residuals. The
    interval's width is the deviation of residuals on folds that were not fitted, which is valid even if
    the model is wrong.
    """
    del chosen
    check_design(masks, scores)
    signs = coded(masks, "plus_minus")
    terms, coefficients = pursued(signs, scores)
    fresh = cross_fitted_residuals(signs, scores, seed)
    return FittedWalsh(
        model=_pairwise_part(terms, coefficients, masks.shape[1]),
        chosen=Hyperparameters(rank=0, l2=0.0, coding="plus_minus"),
        terms=tuple(terms),
        coefficients=coefficients,
        weights=_completed_weights(signs, scores, terms, coefficients),
        reach=_Z * 4.0 * np.sqrt(_averaged(signs**2, fresh**2) / len(fresh)),
        fresh=fresh,
    )


def null_level(fitted: FittedWalsh, masks: Masks, *, seed: int, n_shuffles: int) -> float:
    """The largest change of any pair weight over refits with shuffled residuals, nats.

    The model's predictions stay while its cross-fitted errors move to other masks (ter Braak 1992):
    interactions are thus not counted as their neighbours' noise, and terms picked up by chance are.
    Pairs without interaction exceed it with probability 1 / (n_shuffles + 1), all pairs together.
    """
    assert n_shuffles >= 1, n_shuffles
    random = np.random.default_rng(seed)
    signs, predicted = coded(masks, "plus_minus"), fitted.predict(masks)
    largest = 0.0
    for _ in range(n_shuffles):
        scores = predicted + random.permutation(fitted.fresh)
        changed = _completed_weights(signs, scores, *pursued(signs, scores)) - fitted.weights
        largest = max(largest, float(np.abs(changed).max()))
    return largest


def weights_alone(masks: Masks, scores: Scores) -> Pairs:
    """The pair weights of `fit_walsh`, without intervals."""
    signs = coded(masks, "plus_minus")
    return _completed_weights(signs, scores, *pursued(signs, scores))


def mean_products(masks: Masks, scores: Scores) -> Pairs:
    """Pair weights without a model: four times the mean of the scores times each pair's product."""
    return 4.0 * _averaged(coded(masks, "plus_minus"), scores)


def pursued(signs: Signs, scores: Scores) -> tuple[list[Term], Float[np.ndarray, " term"]]:
    """The terms of the model, and their least-squares coefficients."""
    n_masks, n = signs.shape
    growing = _Growing(signs, scores)
    room = max(0, int(_SHARE * n_masks) - n - 1)
    for _ in range(_ROUNDS):
        left = growing.left_over()
        still = room - (len(left.terms) - n - 1)
        if left.deviation <= _ENOUGH * float(scores.std()) or still <= 0:
            break
        proposals = _proposals(left, still)
        if not proposals:
            break
        growing.take([proposal.term for proposal in proposals])
    left = growing.left_over()
    return list(left.terms), left.coefficients


def cross_fitted_residuals(signs: Signs, scores: Scores, seed: int) -> Scores:
    """Residual of each mask under the model fitted on the other folds."""
    fold = np.random.default_rng([seed, len(scores)]).permutation(len(scores)) % _FOLDS
    residual = np.zeros(len(scores))
    for i in range(_FOLDS):
        terms, coefficients = pursued(signs[fold != i], scores[fold != i])
        predicted = products(signs[fold == i], terms) @ coefficients
        residual[fold == i] = scores[fold == i] - predicted
    return residual


def _proposals(left: LeftOver, room: int) -> list[Proposal]:
    found = pairs_and_extensions(left)
    if not found and (closing := closures(left, room)):
        return closing
    found = found or triples(left)
    if not found:
        return []
    found.sort(key=lambda one: (-one.strength, one.term))
    strong = [one for one in found if one.strength >= _AT_ONCE * found[0].strength]
    return strong[: min(room, max(8, len(left.residual) // 20))]


class _Growing:
    """Least squares on a growing list of terms, keeping their cross products."""

    def __init__(self, signs: Signs, scores: Scores) -> None:
        self.signs, self.scores = signs, scores
        self.terms: list[Term] = []
        self.columns = np.empty((len(scores), 0))
        self.gram = np.empty((0, 0))
        self.take([(), *((i,) for i in range(signs.shape[1]))])

    def take(self, terms: list[Term]) -> None:
        new = products(self.signs, terms)
        across = self.columns.T @ new
        self.gram = np.block([[self.gram, across], [across.T, new.T @ new]])
        self.columns = np.hstack([self.columns, new])
        self.terms += terms

    def left_over(self) -> LeftOver:
        n_masks = len(self.scores)
        # Two masks that agree in every product would make the system singular.
        ridged = self.gram + _RIDGE * n_masks * np.eye(len(self.gram))
        coefficients = np.linalg.solve(ridged, self.columns.T @ self.scores)
        residual = self.scores - self.columns @ coefficients
        freedom = max(1, n_masks - len(self.terms))
        return LeftOver(
            signs=self.signs,
            terms=self.terms,
            coefficients=coefficients,
            residual=residual,
            deviation=float(np.sqrt((residual**2).sum() / freedom)),
        )


def _averaged(signs: Signs, values: Scores) -> Pairs:
    """Mean of `values` times every pair's product; zero diagonal."""
    averaged = (signs * values[:, None]).T @ signs / len(values)
    np.fill_diagonal(averaged, 0.0)
    # A matrix product is symmetric only up to rounding.
    return (averaged + averaged.T) / 2.0


def _completed_weights(
    signs: Signs, scores: Scores, terms: list[Term], coefficients: Float[np.ndarray, " term"]
) -> Pairs:
    """Pair weights of the model, estimated from the residuals for pairs without a term."""
    residual = scores - products(signs, terms) @ coefficients
    return _pair_weights(terms, coefficients, signs.shape[1]) + 4.0 * _averaged(signs, residual)


def _pair_weights(terms: list[Term], coefficients: Float[np.ndarray, " term"], n: int) -> Pairs:
    pairs = np.zeros((n, n))
    for term, coefficient in zip(terms, coefficients, strict=True):
        if len(term) == 2:
            pairs[term] = pairs[term[::-1]] = 4.0 * coefficient
    return pairs


def _pairwise_part(
    terms: list[Term], coefficients: Float[np.ndarray, " term"], n: int
) -> PairModel:
    main = np.zeros(n)
    for term, coefficient in zip(terms, coefficients, strict=True):
        if len(term) == 1:
            main[term[0]] = coefficient
    intercept = float(coefficients[terms.index(())])
    return from_plus_minus(intercept, main, _pair_weights(terms, coefficients, n) / 4.0)
