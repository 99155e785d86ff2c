"""Numbers in words, always with their interval."""

from collections.abc import Callable

from markupsafe import Markup

from sae_audit.findings import NO_INTERVAL, AbsenceKind, Estimate, RandomRange
from sae_audit.statistics import share

ABSENCES = {
    AbsenceKind.UNSCORED_REFUSAL: "cannot tell: it refuses in words that its score does not count",
    AbsenceKind.NO_REFUSAL: "no mechanism: the model does not refuse",
    AbsenceKind.REFUSES_EVERYTHING: "refusal not tied to harm: harmless prompts are refused alike",
    AbsenceKind.NO_SEPARATION: "refusal not tied to harm: harmful and harmless score alike",
    AbsenceKind.NO_DIRECTION: "no direction: every candidate is zero or not finite",
    AbsenceKind.NO_FLIP: "no features shown to carry refusal: no prompt is flipped",
    AbsenceKind.NOT_BEYOND_NULL: "no features shown to carry refusal: flips not beyond chance",
}
"""Wording of each absence. "No mechanism" is only said of a model that does not refuse; "not tied to
harm" of one that refuses by something else."""


def absence_headline(kind: AbsenceKind) -> str:
    """The wording as a sentence of its own."""
    said = ABSENCES[kind]
    return f"{said[0].upper()}{said[1:]}."


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
    return f"{value:+z.2f}"


def _plain(value: float) -> str:
    return f"{value:z.3f}"


def interval(estimate: Estimate, number: Callable[[float], str] = _plain) -> str:
    """`95% [83%, 99%]`; `95% (all cases alike)` if there is no interval."""
    if estimate.method.startswith(NO_INTERVAL):
        return f"{number(estimate.value)} ({estimate.method.removeprefix(NO_INTERVAL)})"
    low, high = number(estimate.low), number(estimate.high)
    return f"{number(estimate.value)} [{low}, {high}]"


def stacked(estimate: Estimate, number: Callable[[float], str] = _plain) -> Markup:
    """The same with the interval on a line of its own, for narrow columns."""
    value, _, within = interval(estimate, number).partition(" ")
    return Markup('{} <span class="under">{}</span>').format(value, within)


_COUNTED_BELOW = 100
"""Number of cases below which a share is said as a count."""


def between(estimate: Estimate, number: Callable[[float], str] = _plain) -> str:
    """`0.89 (0.87 to 0.91)`; `1 (all cases alike)` if there is no interval."""
    if estimate.method.startswith(NO_INTERVAL):
        return f"{number(estimate.value)} ({estimate.method.removeprefix(NO_INTERVAL)})"
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def share_said(estimate: Estimate, noun: str = "") -> str:
    """`39 of 40 prompts (87% to 100%)`; a percentage in place of the count of 100 cases and more, and of
    a mean of shares."""
    of_noun = f" {noun}" if noun else ""
    if not (estimate.method.startswith("Wilson") and estimate.n < _COUNTED_BELOW):
        value, _, rest = between(estimate, percent).partition(" ")
        return f"{value} of{of_noun} {rest}".rstrip() if noun else f"{value} {rest}".rstrip()
    count = of(round(estimate.value * estimate.n), estimate.n)
    return f"{count}{of_noun} ({percent(estimate.low)} to {percent(estimate.high)})"


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
