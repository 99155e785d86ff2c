"""The features that a linear probe ranks highest: the usual alternative to intervening."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sae_audit.vocabulary import FeatureId, TemplateActivations


def probe_ranking(
    harmful: Mapping[int, Float[np.ndarray, "n_harmful d_sae"]],
    harmless: Mapping[int, Float[np.ndarray, "n_harmless d_sae"]],
) -> list[FeatureId]:
    """Features by falling weight towards "harmful" in a logistic regression on peak activations.

    Inputs are each prompt's largest activation over positions, by layer, standardised; L2 with
    scikit-learn's default strength. Features that never fire are left out.
    """
    layers = sorted(harmful)
    features = [
        FeatureId(layer, index) for layer in layers for index in range(harmful[layer].shape[1])
    ]
    x_harmful = np.concatenate([harmful[layer] for layer in layers], axis=1)
    x_harmless = np.concatenate([harmless[layer] for layer in layers], axis=1)
    return _ranking(features, x_harmful, x_harmless)


def end_probe_ranking(
    harmful: Mapping[int, TemplateActivations], harmless: Mapping[int, TemplateActivations]
) -> list[FeatureId]:
    """The same ranking by a probe of activations at each prompt's last token."""
    features: list[FeatureId] = []
    columns: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for layer in sorted(harmful):
        both = (harmful[layer], harmless[layer])
        fires = np.union1d(both[0].index, both[1].index)
        features += [FeatureId(layer, int(index)) for index in fires]
        for own, column in zip(both, columns, strict=True):
            values = np.zeros((len(own.values), len(fires)))
            values[:, np.searchsorted(fires, own.index)] = own.values[:, -1]
            column.append(values)
    x_harmful, x_harmless = (np.concatenate(column, axis=1) for column in columns)
    return _ranking(features, x_harmful, x_harmless)


def _ranking(
    features: Sequence[FeatureId],
    x_harmful: Float[np.ndarray, "n_harmful feature"],
    x_harmless: Float[np.ndarray, "n_harmless feature"],
) -> list[FeatureId]:
    x = np.concatenate([x_harmful, x_harmless])
    fires = np.flatnonzero(x.max(axis=0) > 0.0)
    if not len(fires):
        return []
    labels = np.repeat([1, 0], [len(x_harmful), len(x_harmless)])
    standardised = StandardScaler().fit_transform(x[:, fires])
    probe = LogisticRegression(max_iter=2000).fit(standardised, labels)
    weights = probe.coef_[0]
    order = fires[np.argsort(-weights, kind="stable")]
    return [features[i] for i in order.tolist()]
