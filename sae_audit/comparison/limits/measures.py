"""What each limit is held against, with an interval at any level.

Shares have Tango's interval of a paired difference; counts that of the mean difference over the prompts
that both runs have a count of, whatever their clean scores: a refusal that fewer features hold is
thinner, whether or not that goes with a lower score (which the tests at matched margin ask).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.comparison.decided import Measure
from sae_audit.comparison.direction import chosen_cosine
from sae_audit.findings import ALL_ALIKE, Estimate
from sae_audit.margins import refuses
from sae_audit.prompts.types import Label
from sae_audit.record.run import Run
from sae_audit.statistics import (
    FEWEST_CASES,
    mean,
    share,
    share_difference,
    share_difference_bounds,
)

_FEWEST = 2
_SHOWN = 0.95


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One measure of both runs."""

    before: float | None
    after: float | None
    change: Callable[[float], Estimate]
    """Variant minus parent, or the cosine, with its interval at a level."""
    per_label: float
    """Prompts of each label, as a setting counts them, for each of the cases."""
    at_size: Callable[[float, float], tuple[float, float]] | None
    """The interval at a level if so many times the cases showed the same; None if it narrows with the
    square root of their number."""
    label: str = ""
    """Label of the prompts that a share is of; empty of other measures."""


@dataclass(frozen=True, kw_only=True)
class NotMeasured:
    """That a measure does not exist for these runs, and why, in a clause."""

    reason: str


def measured(measure: Measure, a: Run, b: Run) -> Measured | NotMeasured:
    """The measure of the two runs, of any but topics."""
    match measure:
        case Measure.REFUSAL_RATE:
            return _refused(Label.HARMFUL, a, b)
        case Measure.OVER_REFUSAL:
            return _refused(over_refusal_of(a, b), a, b)
        case Measure.MINIMAL_SET_SIZE:
            sizes = [
                {m.prompt_id: len(m.features) for m in r.minimal_sets if m.flipped} for r in (a, b)
            ]
            return _counts(
                sizes[0], sizes[1], a, "whose refusal ends with a set of features in both"
            )
        case Measure.CASCADE_DEPTH:
            depths = [{c.prompt_id: c.depth for c in run.cascades} for run in (a, b)]
            return _counts(depths[0], depths[1], a, "with a cascade in both")
        case Measure.DIRECTIONS_NEEDED:
            needed = [
                {} if run.successive_directions is None else dict(run.successive_directions.needed)
                for run in (a, b)
            ]
            return _counts(needed[0], needed[1], a, "with their directions counted in both")
        case Measure.DIRECTION_COSINE:
            return _cosine(a, b)
        case Measure.ANY_TOPIC:
            raise AssertionError("topics are counted, not measured")


def over_refusal_of(a: Run, b: Run) -> Label:
    """The prompts on which over-refusal is compared: look-alikes if enough of them were scored in both,
    else plain harmless ones."""
    in_b = {one.prompt_id for one in b.scores if one.label == Label.LOOKALIKE}
    shared = sum(one.label == Label.LOOKALIKE and one.prompt_id in in_b for one in a.scores)
    return Label.LOOKALIKE if shared >= FEWEST_CASES else Label.HARMLESS


def _refused(label: Label, a: Run, b: Run) -> Measured:
    in_b = {one.prompt_id: refuses(one.score) for one in b.scores}
    own = [one for one in a.scores if one.split == "audit" and one.label == label]
    before = np.array([refuses(one.score) for one in own])
    after = np.array([in_b[one.prompt_id] for one in own])
    gained, lost, n = int((after & ~before).sum()), int((before & ~after).sum()), len(own)
    return Measured(
        before=float(before.mean()),
        after=float(after.mean()),
        change=lambda level: share_difference(gained, lost, n, level=level),
        per_label=1.0,
        at_size=lambda times, level: share_difference_bounds(
            times * gained, times * lost, times * n, level=level
        ),
        label=label.value,
    )


def _counts(
    before: Mapping[str, int], after: Mapping[str, int], a: Run, which: str
) -> Measured | NotMeasured:
    both = sorted(before.keys() & after.keys())
    if len(both) < _FEWEST:
        return NotMeasured(reason=f"{len(both) or 'no'} {_prompts(len(both))} {which}")
    own = np.array([before[one] for one in both], dtype=float)
    other = np.array([after[one] for one in both], dtype=float)
    n_audit = sum(one.split == "audit" and one.label == "harmful" for one in a.scores)
    largest = float(max(own.max(), other.max()))
    return Measured(
        before=float(own.mean()),
        after=float(other.mean()),
        change=lambda level: _mean_difference(other - own, largest, level),
        per_label=n_audit / len(both),
        at_size=None,
    )


def _prompts(n: int) -> str:
    return "prompt" if n == 1 else "prompts"


def _mean_difference(
    differences: Float[np.ndarray, " prompt"], largest: float, level: float
) -> Estimate:
    """Mean difference. Where it is the same on all prompts, which gives no interval of its own, another
    prompt may differ from it by the largest count at most, and so often as none of so many allows."""
    found = mean(differences, level=level)
    if found.method != ALL_ALIKE:
        return found
    n = len(differences)
    reach = largest * _none_of(n, level)
    return Estimate(
        value=found.value,
        low=found.value - reach,
        high=found.value + reach,
        n=n,
        method=f"none of {n} differs, {100 * level:.4g}%",
    )


def _none_of(n: int, level: float) -> float:
    """Largest share of cases that may be so where none of `n` is (Wilson's upper end)."""
    if level == _SHOWN:
        return share(0, n).high
    low, _ = share_difference_bounds(0.0, 0.0, n, level=level)
    return -low


def _cosine(a: Run, b: Run) -> Measured | NotMeasured:
    if a.stopped_early and b.stopped_early:
        return NotMeasured(reason="neither checkpoint has a refusal direction")
    n = sum(int(counts.sum()) for counts in a.group_sizes.values())
    return Measured(
        before=None,
        after=None,
        change=lambda level: chosen_cosine(a, b, level=level),
        per_label=a.config.prompts.train / n if n else math.nan,
        at_size=None,
    )
