"""Numbers with an interval, or with a control."""

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from sae_audit.findings.example import Finding

NO_INTERVAL = "none: "
"""Beginning of an `Estimate`'s method if it has no interval."""
ONE_CASE = NO_INTERVAL + "one case"
FEW_CASES = NO_INTERVAL + "fewer than 5 cases"
UNDEFINED_WITHOUT_ONE = NO_INTERVAL + "no value without one of the cases"
ALL_ALIKE = NO_INTERVAL + "all cases alike"
"""Method if five or more cases are equal: their spread is 0, which says nothing of other cases."""


def _bound(at_nothing: float) -> tuple[BeforeValidator, PlainSerializer]:
    """How a bound that may be infinite stands in JSON, which has no such number: as null."""
    return (
        BeforeValidator(lambda given: at_nothing if given is None else given),
        PlainSerializer(
            lambda bound: bound if math.isfinite(bound) else None,
            return_type=float | None,
            when_used="json",
        ),
    )


Lowest = Annotated[float, *_bound(-math.inf)]
"""Lower bound; minus infinity (null in JSON) if the cases exclude nothing."""
Highest = Annotated[float, *_bound(math.inf)]
"""Upper bound; infinity (null in JSON) if the cases exclude nothing."""


@dataclass(frozen=True, kw_only=True)
class Estimate(Finding):
    """A number with its interval and the number of cases behind it.

    Without an interval, `low` and `high` are infinite, so that no comparison with a bound succeeds;
    only with `ALL_ALIKE` (at least five equal cases) both are the value.
    """

    value: float
    low: Lowest
    """Null in JSON if there is no interval."""
    high: Highest
    """Null in JSON if there is no interval."""
    n: int
    """Number of cases, usually prompts."""
    method: str
    """How the 95% interval was made, e.g. "Wilson 95%" or "t 95%, skewness-adjusted"; if there is
    none, `NO_INTERVAL` and the reason."""

    @property
    def has_interval(self) -> bool:
        return not self.method.startswith(NO_INTERVAL)


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
