"""Tests and differences of a comparison in words."""

from collections.abc import Mapping
from math import ceil

from sae_audit.comparison.types import Change, Detectable, Tested
from sae_audit.findings import Estimate
from sae_audit.pages.wording import interval, nats, percent

Tests = Mapping[str, Tested]
"""Tests by name."""


def kind_of(
    test: Tested, value: float, down: Change = Change.LOWER, up: Change = Change.HIGHER
) -> Change:
    """The direction of change if the corrected p-value names one."""
    if test.corrected_p is None:
        return Change.TOO_FEW
    if not test.is_significant:
        return Change.UNCHANGED
    return down if value < 0.0 else up


def result(test: Tested) -> str:
    if test.corrected_p is None:
        return "no test (too few cases)"
    return f"p = {test.corrected_p:.2g}"


def could_show(*tests: Tested) -> str:
    """What the tests would have shown, if none names a change; else nothing."""
    if any(test.is_significant for test in tests):
        return ""
    known = [test.could_show for test in tests if test.could_show is not None]
    if not known:
        return "No result on so few could be significant."
    found = sorted(
        {(one.unit, one.value): one for one in known if one.value is not None}.values(),
        key=lambda one: (one.unit, one.value or 0.0),
    )
    if not found:
        return "They could have shown no change, however large."
    first, last = found[0], found[-1]
    change = amount(first) if first is last else f"{amount(first)} to {amount(last)} (by category)"
    return f"Could have shown a change of {change} with {first.power:.0%} probability."


def amount(one: Detectable) -> str:
    """The smallest change that a test finds, rounded up."""
    if one.value is None:
        return "none, however large"
    value = one.value
    if one.unit == "share of prompts":
        return f"{_rounded_up(100 * value)}% of prompts"
    return f"{_rounded_up(100 * value) / 100:z.2f} {one.unit}"


def _rounded_up(value: float) -> int:
    # Up, or the number printed would be one that the test misses.
    return ceil(value - 1e-9)


def in_percent(estimate: Estimate) -> str:
    return interval(estimate, percent)


def in_points(estimate: Estimate) -> str:
    value, _, around = interval(estimate, lambda share: f"{100 * share:+z.0f}").partition(" ")
    return f"{value} points {around}"


def signed(estimate: Estimate) -> str:
    return interval(estimate, nats)


def plain(estimate: Estimate) -> str:
    return interval(estimate, "{:z.2f}".format)
