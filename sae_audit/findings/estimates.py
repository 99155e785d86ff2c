"""Numbers that come with their certainty, or with their control."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval and the number of cases behind it."""

    value: float
    low: float
    high: float
    n: int
    method: str
    """How the interval was made, e.g. "Wilson 95%" or "bootstrap 95%"."""


@dataclass(frozen=True, kw_only=True)
class RandomRange:
    """The same number for random directions (or sets of features) in place of the found: its control.

    Random directions have the refusal direction's norm, are at right angles to it, and are drawn
    from how the stream varies, at its layer and position, among training prompts of one label.
    """

    mean: float
    lowest: float
    highest: float
    n: int
    """Random directions, or sets."""


@dataclass(frozen=True, kw_only=True)
class Controlled:
    """A number of the refusal direction, and what random directions give."""

    own: Estimate
    """Over audit prompts, on which nothing was chosen."""
    random: RandomRange
