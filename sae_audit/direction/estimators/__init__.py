"""Estimators of candidate directions, by the names that `direction.estimator` takes."""

from collections.abc import Mapping

from sae_audit.direction.estimators.difference_of_means import difference_of_means
from sae_audit.direction.methods import Estimator

ESTIMATORS: Mapping[str, Estimator] = {"difference_of_means": difference_of_means}
