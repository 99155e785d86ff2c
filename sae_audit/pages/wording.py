"""Numbers in words, always with their interval."""

from collections.abc import Callable

from sae_audit.findings import NO_INTERVAL, AbsenceKind, Estimate, RandomRange
from sae_audit.statistics import share

ABSENCES = {
    AbsenceKind.NO_REFUSAL: "no refusal behaviour",
    AbsenceKind.REFUSES_EVERYTHING: "refuses everything",
    AbsenceKind.NO_SEPARATION: "no separation",
    AbsenceKind.NO_DIRECTION: "no direction",
    AbsenceKind.NO_FLIP: "no flip",
    AbsenceKind.NOT_BEYOND_NULL: "flips not beyond chance",
}
"""Wording of each absence of a mechanism."""

SEARCHES = {
    "splitting": "binary splitting",
    "delta_debugging": "delta debugging",
    "greedy": "greedy filtering and elimination",
    "elimination": "backward elimination",
}
"""Wording of each search for minimal sets."""
NO_VALUE = "\N{EN DASH}"
"""Text of an empty table cell."""


def percent(value: float) -> str:
    # A whole number, so that a small negative value does not read "-0%".
    return f"{round(100.0 * value)}%"


def nats(value: float) -> str:
    return f"{value:+.2f}"


def _plain(value: float) -> str:
    return f"{value:.3f}"


def interval(estimate: Estimate, number: Callable[[float], str] = _plain) -> str:
    """`95% [83%, 99%]`; `95% (all cases alike)` if there is no interval."""
    if estimate.method.startswith(NO_INTERVAL):
        return f"{number(estimate.value)} ({estimate.method.removeprefix(NO_INTERVAL)})"
    low, high = number(estimate.low), number(estimate.high)
    return f"{number(estimate.value)} [{low}, {high}]"


def ranged(random: RandomRange, number: Callable[[float], str] = _plain) -> str:
    """`-4.20 (-5.00 to -3.10)`: mean and range."""
    return f"{number(random.mean)} ({number(random.lowest)} to {number(random.highest)})"


def of(n: int, total: int) -> str:
    return f"{n} of {total}"


def share_of(n: int, total: int) -> str:
    """`39 of 40 (98% [87%, 100%])`, or the bare count if there is no case."""
    return f"{of(n, total)} ({interval(share(n, total), percent)})" if total else of(n, total)


def si_bytes(n: int) -> str:
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"
