"""Pairwise interactions by shapiq: Shapley interactions, and ProxySPEX (2505.17495)."""

import warnings
from typing import Any

import numpy as np

from sae_audit.bench.asking import Asked
from sae_audit.errors import AuditError
from sae_audit.interactions.pair_model import Pairs


def shapley_interactions(asked: Asked, budget: int, seed: int) -> Pairs:
    """Order-2 k-SII by SVARM-IQ (2401.13371): second differences weighted by set size.

    Raises:
        AuditError: shapiq is not installed.
    """
    approximators = _shapiq()
    method = approximators.SVARMIQ(n=asked.n, max_order=2, index="k-SII", random_state=seed)
    return _pairs(method.approximate(budget=budget, game=asked), asked.n)


def proxy_spex(asked: Asked, budget: int, seed: int) -> Pairs:
    """Order-2 Banzhaf interactions of a tree model of the scores.

    Raises:
        AuditError: shapiq or lightgbm is not installed.
    """
    approximators = _shapiq()
    try:
        import lightgbm  # noqa: F401
    except ImportError as error:
        raise AuditError(_remedy("lightgbm")) from error
    method = approximators.ProxySPEX(n=asked.n, max_order=2, index="FBII", random_state=seed)
    with warnings.catch_warnings():
        # lightgbm was fitted without feature names, and warns at every prediction.
        warnings.simplefilter("ignore", UserWarning)
        return _pairs(method.approximate(budget=budget, game=asked), asked.n)


def _shapiq() -> Any:
    try:
        import shapiq.approximator
    except ImportError as error:
        raise AuditError(_remedy("shapiq")) from error
    return shapiq.approximator


def _remedy(package: str) -> str:
    return f"{package} is not installed; install it with `pip install sae-audit[bench]`."


def _pairs(found: Any, n: int) -> Pairs:
    weights = np.zeros((n, n))
    for members, value in found.dict_values.items():
        if len(members) == 2:
            i, j = members
            weights[i, j] = weights[j, i] = float(value)
    return weights
