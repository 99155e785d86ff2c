"""Columns that several tables have."""

import math

from sae_audit.findings import Estimate


def bounds(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Three columns: the number under its name, and its interval."""
    if estimate is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {
        name: estimate.value,
        f"{name}_low": finite(estimate.low),
        f"{name}_high": finite(estimate.high),
    }


def estimate_columns(estimate: Estimate) -> dict[str, float | None]:
    low, high = finite(estimate.low), finite(estimate.high)
    return {"value": estimate.value, "low": low, "high": high, "n": estimate.n}


def finite(bound: float) -> float | None:
    """The bound of an interval; None, an empty cell, if there is no interval."""
    return bound if math.isfinite(bound) else None
