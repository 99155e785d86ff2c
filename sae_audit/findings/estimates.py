"""Numbers with an interval, or with a control."""

from dataclasses import dataclass

from sae_audit.findings.example import Finding

NO_INTERVAL = "none: "
"""Beginning of an `Estimate`'s method if it has no interval."""
ONE_CASE = NO_INTERVAL + "one case"
ALL_ALIKE = NO_INTERVAL + "all cases alike"
"""Method if all cases are equal: resampling them shows no spread, and says nothing of other cases."""


@dataclass(frozen=True, kw_only=True)
class Estimate(Finding):
    """A number with its interval and the number of cases behind it."""

    value: float
    low: float
    high: float
    n: int
    """Number of cases, usually prompts."""
    method: str
    """How the 95% interval was made, e.g. "Wilson 95%" or "bootstrap 95%"; if there is none,
    `NO_INTERVAL` and the reason, with `low` and `high` equal to the value."""


@dataclass(frozen=True, kw_only=True)
class RandomRange(Finding):
    """Control of a number: the same for random directions, sets of features or permuted labels.

    Random directions have the refusal direction's norm, are orthogonal to it, and are drawn from the
    variation of the stream at its layer and position among training prompts of one label.
    """

    mean: float
    lowest: float
    highest: float
    n: int
    """Number of random directions, sets or permutations."""


@dataclass(frozen=True, kw_only=True)
class Controlled(Finding):
    """A number of the refusal direction, with its control."""

    own: Estimate
    """Over audit prompts, on which nothing was chosen, unless a field says otherwise."""
    random: RandomRange
