"""Numbers that come with their certainty, or with their control."""

from dataclasses import dataclass

from sae_audit.findings.example import Finding

NO_INTERVAL = "none: "
"""How the method of an `Estimate` without an interval begins."""
ONE_CASE = NO_INTERVAL + "one case"
ALL_ALIKE = NO_INTERVAL + "all cases alike"
"""Cases that show no spread: resampling them gives no interval, however few they are, for what
another case would have been is not known."""


@dataclass(frozen=True, kw_only=True)
class Estimate(Finding):
    """A number with its interval and the number of cases behind it."""

    value: float
    low: float
    high: float
    n: int
    method: str
    """How the interval was made, e.g. "Wilson 95%" or "bootstrap 95%"; `NO_INTERVAL` and why
    where there is none, `low` and `high` then being the value itself."""


@dataclass(frozen=True, kw_only=True)
class RandomRange(Finding):
    """The same number for random directions (or sets of features, or permuted labels) in place of the
    found: its control.

    Random directions have the refusal direction's norm, are at right angles to it, and are drawn
    from how the stream varies, at its layer and position, among training prompts of one label.
    """

    mean: float
    lowest: float
    highest: float
    n: int
    """Random directions, sets or permutations."""


@dataclass(frozen=True, kw_only=True)
class Controlled(Finding):
    """A number of the refusal direction, and what chance in its place gives."""

    own: Estimate
    """Over prompts on which nothing was chosen: audit prompts, save where a field says otherwise."""
    random: RandomRange
