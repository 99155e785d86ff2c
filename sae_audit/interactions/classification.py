"""Classifiers of refusal (yes or no) on masks: the pair weights that remain without the score's size."""

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sae_audit.findings import ClassifierFit, Estimate, PairInteraction, PairKind
from sae_audit.interactions.pair_model import Masks, Pairs, Scores, coded, pair_products
from sae_audit.margins import refuses
from sae_audit.statistics import auroc, share
from sae_audit.vocabulary import FeatureId

_L1 = 1.0
"""Inverse L1 strength (scikit-learn's C), dimensionless."""
_RANK = 4
_ITERATIONS = 120
_KEPT = 90


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A classifier's pair weights and its predictions on unseen rows."""

    pairs: Pairs
    """Second differences of the latent refusal score, log-odds or probits."""
    latent: Float[np.ndarray, " fresh"]
    """Latent scores of the unseen rows; larger means refusal is likelier."""


def logistic_main(
    masks: Masks,
    refused: Bool[np.ndarray, " mask"],
    fresh: Bool[np.ndarray, "fresh player"],
) -> Float[np.ndarray, " fresh"]:
    """Latent scores of `fresh` by L1 logistic regression on +-1 main effects, the baseline for pairs."""
    model = _logistic(coded(masks, "plus_minus"), refused)
    return np.asarray(model.decision_function(coded(fresh, "plus_minus")))


def logistic_l1(
    masks: Masks,
    refused: Bool[np.ndarray, " mask"],
    fresh: Bool[np.ndarray, "fresh player"],
) -> Classified:
    """L1 logistic regression on +-1 main effects and pair products, with latent scores of `fresh`."""
    model = _logistic(pair_products(masks), refused)
    n = masks.shape[1]
    pairs = np.zeros((n, n))
    pairs[np.triu_indices(n, k=1)] = 4.0 * model.coef_[0, n:]
    return Classified(
        pairs=pairs + pairs.T, latent=np.asarray(model.decision_function(pair_products(fresh)))
    )


def _logistic(
    terms: Float[np.ndarray, "mask term"], refused: Bool[np.ndarray, " mask"]
) -> LogisticRegression:
    model = LogisticRegression(l1_ratio=1.0, C=_L1, solver="liblinear", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(terms, refused)


def fm_probit(
    features: Float[np.ndarray, "row feature"],
    refused: Bool[np.ndarray, " row"],
    fresh: Float[np.ndarray, "fresh feature"],
    *,
    seed: int,
) -> Classified:
    """Probit factorization machine by Gibbs sampling (myfm); pair weights per unit of each feature."""
    with warnings.catch_warnings():
        # myfm 0.4 reads its own version through the deprecated pkg_resources.
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        from myfm import MyFMGibbsClassifier

    machine = MyFMGibbsClassifier(rank=_RANK, random_seed=seed)
    with redirect_stderr(io.StringIO()):
        machine.fit(csr_matrix(features), refused, n_iter=_ITERATIONS, n_kept_samples=_KEPT)
    assert machine.predictor_ is not None, "the machine was not fitted"
    factors = [np.array(sample.V) for sample in machine.predictor_.samples]
    pairs = np.mean([v @ v.T for v in factors], axis=0)
    np.fill_diagonal(pairs, 0.0)
    return Classified(pairs=pairs, latent=np.asarray(machine.predict_proba(csr_matrix(fresh))))


def classifier_fits(
    masks: Masks,
    scores: Scores,
    apart: Bool[np.ndarray, " mask"],
    players: Sequence[FeatureId],
    pairs: Sequence[PairInteraction],
    *,
    seed: int,
) -> tuple[ClassifierFit, ...]:
    """Every classifier fitted to the masks not held out; empty if either part has only one label."""
    refused = refuses(scores)
    if len(set(refused[apart])) < 2 or len(set(refused[~apart])) < 2:
        return ()
    signs = coded(masks, "plus_minus")
    main = logistic_main(masks[~apart], refused[~apart], masks[apart])
    found = {
        "logistic_l1": logistic_l1(masks[~apart], refused[~apart], masks[apart]),
        "fm_probit": fm_probit(signs[~apart], refused[~apart], signs[apart], seed=seed),
    }
    held_out = refused[apart]

    def fit(name: str, latent: Scores, agreement: Estimate | None) -> ClassifierFit:
        return ClassifierFit(
            classifier=name,
            auroc_held_out=auroc(latent[held_out], latent[~held_out]),
            n_refused=int(held_out.sum()),
            n_complied=int((~held_out).sum()),
            sign_agreement=agreement,
        )

    return (
        fit("logistic_main", main, None),
        *(
            fit(name, one.latent, _agreement(one.pairs, players, pairs))
            for name, one in found.items()
        ),
    )


def _agreement(
    weights: Pairs, players: Sequence[FeatureId], pairs: Sequence[PairInteraction]
) -> Estimate | None:
    place = {player: i for i, player in enumerate(players)}
    named = [pair for pair in pairs if pair.kind != PairKind.UNCLEAR]
    if not named:
        return None
    same = [bool(weights[place[p.a], place[p.b]] * p.weight > 0.0) for p in named]
    return share(sum(same), len(same))
