"""A factorization machine on activations of prompts, refused or answered (2509.09708).

1. Standardise each feature's largest activation over tokens; refused is +1, answered -1.
2. Choose the rank (and the L2 strength, if the solver needs one) by three folds over the training
   prompts, fit, and fit the linear model beside it; test all on validation prompts.
3. Rank features by contribution: how far the prediction falls, on average over refused prompts, if the
   feature does not fire. Main effect and pairs count together.
4. The null: the same machine on permuted labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import RidgeCV

from sae_audit.findings import AddedFeature, CoactivationFit, CoactivationPair
from sae_audit.interactions.fm_als import als_factors, installed
from sae_audit.interactions.fm_bayes import bayes_factors
from sae_audit.interactions.held_out import HeldOut
from sae_audit.interactions.pair_model import Factors, Pairs
from sae_audit.vocabulary import FeatureId, FeatureSet

MachineSolver = Literal["fm_bayes", "fm_als"]
Activations = Float[np.ndarray, "prompt feature"]
Labels = Float[np.ndarray, " prompt"]

_RANKS = (2, 4, 8)
_L2 = (5.0, 50.0, 500.0, 5000.0)
_RIDGE = np.logspace(-2, 5, 15)
_FOLDS = 3
_PAIRS = 10
_NULL_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Prompts with the activations of the same features, and what the model does with them."""

    activations: Activations
    """Each feature's largest activation over tokens, >= 0."""
    refused: Bool[np.ndarray, " prompt"]

    @property
    def labels(self) -> Labels:
        return np.where(self.refused, 1.0, -1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine:
    """`y = w0 + sum w_i z_i + sum_{i<j} p_ij z_i z_j` of standardised activations z."""

    rank: int
    l2: float
    """L2 strength on the factors; 0 if sampled, or without factors."""
    intercept: float
    main: Float[np.ndarray, " feature"]
    pairs: Pairs
    """Symmetric, zero diagonal."""

    def predict(self, z: Activations) -> Labels:
        """Predicted labels."""
        return self.intercept + z @ self.main + 0.5 * ((z @ self.pairs) * z).sum(axis=1)

    def contributions(
        self, z: Activations, above_zero: Activations
    ) -> Float[np.ndarray, " feature"]:
        """Mean fall of the prediction over these prompts if each feature alone does not fire.

        `above_zero` is z less its value where the feature does not fire. A feature's own effect is
        linear in it, so the fall is exact.
        """
        return (above_zero * (self.main + z @ self.pairs)).mean(axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A machine with its rivals: the linear model, the other solver, and machines on permuted labels."""

    features: tuple[FeatureId, ...]
    """Its inputs: those whose activation varies over the training prompts."""
    machine: Machine
    ranking: list[FeatureId]
    """Features outside the filtered set by falling contribution, all above 0."""
    linear_ranking: list[FeatureId]
    """All features outside it by their contribution to the linear model."""
    permuted_rankings: list[list[FeatureId]]
    """The same by machines on permuted labels."""
    contributions: dict[FeatureId, float]
    null_weight: float
    """95th percentile of the largest absolute pair weight of those machines."""
    _rivals: dict[str, tuple[Machine, list[FeatureId]]]
    _predictions: dict[str, Labels]
    _held_out: HeldOut | None

    def added(self, n: int) -> tuple[AddedFeature, ...]:
        """The first `n` features of the ranking, with what speaks for each."""
        place = {feature: i for i, feature in enumerate(self.features)}
        found: list[AddedFeature] = []
        for feature in self.ranking[:n]:
            weights = self.machine.pairs[place[feature]]
            partner = int(np.argmax(np.abs(weights)))
            found.append(
                AddedFeature(
                    feature=feature,
                    contribution=self.contributions[feature],
                    main=float(self.machine.main[place[feature]]),
                    partner=self.features[partner],
                    pair_weight=float(weights[partner]),
                )
            )
        return tuple(found)

    def pairs(self) -> tuple[CoactivationPair, ...]:
        """The pairs of largest weight in absolute value."""
        first, second = np.triu_indices(len(self.features), k=1)
        weights = self.machine.pairs[first, second]
        order = np.argsort(-np.abs(weights), kind="stable")[:_PAIRS]
        return tuple(
            CoactivationPair(
                a=self.features[first[i]], b=self.features[second[i]], weight=float(weights[i])
            )
            for i in order
        )

    def fits(self, n_added: int) -> tuple[CoactivationFit, ...]:
        """Every solver's quality on validation prompts; none if these have one label."""
        if self._held_out is None:
            return ()
        linear, held_out = self._predictions["linear"], self._held_out
        added = set(self.ranking[:n_added])
        return tuple(
            CoactivationFit(
                solver=name,
                rank=machine.rank,
                l2=machine.l2,
                r2=held_out.r2(self._predictions[name]),
                gain=None if name == "linear" else held_out.gain(self._predictions[name], linear),
                agreement=len(added.intersection(ranking[:n_added])) / len(added),
            )
            for name, (machine, ranking) in self._rivals.items()
        )


def trained(
    train: Examples,
    fresh: Examples,
    features: Sequence[FeatureId],
    filtered: FeatureSet,
    *,
    solver: MachineSolver,
    n_permutations: int,
    seed: int,
) -> Trained:
    """The machine trained on `train`, tested on `fresh`; at least two features must vary.

    fastFM is left out if it is not installed, unless it is `solver`.

    Raises:
        AssertionError: all training prompts have one label, or activations do not fit the features.
        AuditError: `solver` is fm_als, and fastFM is not installed.
    """
    assert train.refused.any(), "no training prompt is refused"
    assert not train.refused.all(), "every training prompt is refused"
    assert train.activations.shape[1] == fresh.activations.shape[1] == len(features)
    varies = varying(train)
    own = tuple(feature for feature, one in zip(features, varies, strict=True) if one)
    assert len(own) > 1, "fewer than two features vary"
    x, new = train.activations[:, varies], fresh.activations[:, varies]
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    z, y = (x - mean) / deviation, train.labels

    def ranked(machine: Machine, refused: Bool[np.ndarray, " prompt"]):
        values = machine.contributions(z[refused], x[refused] / deviation)
        order = np.argsort(-values, kind="stable")
        return [own[i] for i in order if own[i] not in filtered], values

    other = _OTHER[solver]
    fitted: list[MachineSolver] = [solver, other]
    if other == "fm_als" and not installed():
        fitted.remove(other)
    # As for ablation masks: the sampler, which needs no L2 strength, chooses the rank of both.
    rank = min(_RANKS, key=lambda one: _error(_bayes, z, y, rank=one, l2=0.0, seed=seed))
    machines: dict[str, Machine] = {
        name: _fitted(name, z, y, rank=rank, seed=seed) for name in fitted
    }
    machines["linear"] = _linear(z, y)
    rankings = {name: ranked(machine, train.refused) for name, machine in machines.items()}
    ranking, values = rankings[solver]
    contributions = dict(zip(own, map(float, values), strict=True))
    permuted = _permuted(solver, machines[solver], z, train.refused, n_permutations, seed=seed)
    tested = (new - mean) / deviation
    return Trained(
        features=own,
        machine=machines[solver],
        ranking=[feature for feature in ranking if contributions[feature] > 0.0],
        linear_ranking=rankings["linear"][0],
        permuted_rankings=[ranked(machine, refused)[0] for machine, refused in permuted],
        contributions=contributions,
        null_weight=float(
            np.quantile([np.abs(machine.pairs).max() for machine, _ in permuted], _NULL_LEVEL)
        ),
        _rivals={name: (machine, rankings[name][0]) for name, machine in machines.items()},
        _predictions={name: machine.predict(tested) for name, machine in machines.items()},
        _held_out=HeldOut(fresh.labels, seed=seed) if len(set(fresh.refused)) == 2 else None,
    )


def varying(examples: Examples) -> Bool[np.ndarray, " feature"]:
    """Features whose activation is not the same on all prompts."""
    return np.ptp(examples.activations, axis=0) > 0.0


_OTHER: dict[MachineSolver, MachineSolver] = {"fm_bayes": "fm_als", "fm_als": "fm_bayes"}


def _error(fit: "_Fit", z: Activations, y: Labels, *, rank: int, l2: float, seed: int) -> float:
    """Squared error over three folds, each predicted by a machine trained on the others."""
    fold = np.random.default_rng([seed, len(y)]).permutation(len(y)) % _FOLDS
    squared = 0.0
    for i in range(_FOLDS):
        machine = fit(z[fold != i], y[fold != i], rank=rank, l2=l2, seed=seed)
        squared += float(((y[fold == i] - machine.predict(z[fold == i])) ** 2).sum())
    return squared


def _fitted(solver: MachineSolver, z: Activations, y: Labels, *, rank: int, seed: int) -> Machine:
    """The machine of this rank, with the L2 strength, if any, of least squared error."""
    fit = _FITS[solver]
    l2 = 0.0
    if solver == "fm_als":
        l2 = min(_L2, key=lambda one: _error(fit, z, y, rank=rank, l2=one, seed=seed))
    return fit(z, y, rank=rank, l2=l2, seed=seed)


def _permuted(
    solver: MachineSolver,
    own: Machine,
    z: Activations,
    refused: Bool[np.ndarray, " prompt"],
    n: int,
    *,
    seed: int,
) -> list[tuple[Machine, Bool[np.ndarray, " prompt"]]]:
    """Machines on permuted labels, with these; rank and L2 strength are the machine's own."""
    random = np.random.default_rng([seed, n])
    found: list[tuple[Machine, Bool[np.ndarray, " prompt"]]] = []
    for i in range(n):
        labels = random.permutation(refused)
        y = np.where(labels, 1.0, -1.0)
        found.append((_FITS[solver](z, y, rank=own.rank, l2=own.l2, seed=seed + i), labels))
    return found


_Fit = Callable[..., Machine]


def _bayes(z: Activations, y: Labels, *, rank: int, l2: float, seed: int) -> Machine:
    del l2
    target, centre, spread = _standard(y)
    samples = bayes_factors(z, target, rank=rank, seed=seed)
    # V is defined only up to a rotation, so average V V^T, the pair weights.
    pairs = np.zeros((z.shape[1], z.shape[1]))
    for _, _, factors in samples:
        pairs += factors @ factors.T / len(samples)
    intercept = float(np.mean([one[0] for one in samples]))
    main = np.mean([one[1] for one in samples], axis=0)
    return _machine((intercept, main, pairs), centre, spread, rank=rank, l2=0.0)


def _als(z: Activations, y: Labels, *, rank: int, l2: float, seed: int) -> Machine:
    target, centre, spread = _standard(y)
    intercept, main, factors = als_factors(z, target, rank=rank, l2=l2, seed=seed)
    return _machine((intercept, main, factors @ factors.T), centre, spread, rank=rank, l2=l2)


def _linear(z: Activations, y: Labels) -> Machine:
    ridge = RidgeCV(alphas=_RIDGE).fit(z, y)
    n = z.shape[1]
    return Machine(
        rank=0,
        l2=0.0,
        intercept=float(ridge.intercept_),
        main=np.asarray(ridge.coef_),
        pairs=np.zeros((n, n)),
    )


_FITS: dict[MachineSolver, _Fit] = {"fm_bayes": _bayes, "fm_als": _als}


def _standard(y: Labels) -> tuple[Labels, float, float]:
    """Labels with mean 0 and deviation 1, with the mean and deviation; zeros if a fold has one label."""
    centre, spread = float(y.mean()), float(y.std()) or 1.0
    return (y - centre) / spread, centre, spread


def _machine(fitted: Factors, centre: float, spread: float, *, rank: int, l2: float) -> Machine:
    """The machine of labels from that of standardised ones, with pair weights in place of factors."""
    intercept, main, pairs = fitted
    np.fill_diagonal(pairs, 0.0)
    return Machine(
        rank=rank,
        l2=l2,
        intercept=centre + spread * intercept,
        main=spread * main,
        pairs=spread * pairs,
    )
