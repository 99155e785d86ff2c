"""Columns that several tables have."""

from sae_audit.findings import Estimate


def bounds(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Three columns: the number under its name, and its interval."""
    if estimate is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def estimate_columns(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
