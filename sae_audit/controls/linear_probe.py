"""The features that a linear probe ranks highest: the usual alternative to intervening."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sae_audit.vocabulary import FeatureId


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
    x = np.concatenate([x_harmful, x_harmless])
    fires = np.flatnonzero(x.max(axis=0) > 0.0)
    labels = np.repeat([1, 0], [len(x_harmful), len(x_harmless)])
    standardised = StandardScaler().fit_transform(x[:, fires])
    probe = LogisticRegression(max_iter=2000).fit(standardised, labels)
    weights = probe.coef_[0]
    order = np.argsort(-weights, kind="stable")
    return [features[fires[i]] for i in order]
