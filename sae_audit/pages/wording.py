"""Numbers as a reader sees them, always with their interval."""

from collections.abc import Callable

from sae_audit.findings import Estimate


def percent(value: float) -> str:
    # As a whole number, or what rounds to nothing from below would read "-0%".
    return f"{round(100.0 * value)}%"


def nats(value: float) -> str:
    return f"{value:+.2f}"


def _plain(value: float) -> str:
    return f"{value:.3f}"


def interval(estimate: Estimate, number: Callable[[float], str] = _plain) -> str:
    """`95% [83%, 99%]`."""
    low, high = number(estimate.low), number(estimate.high)
    return f"{number(estimate.value)} [{low}, {high}]"


def of(n: int, total: int) -> str:
    return f"{n} of {total}"


def si_bytes(n: int) -> str:
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"
