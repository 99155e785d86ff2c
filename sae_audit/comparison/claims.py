"""What a comparison tests: each change with its p-value, and the smallest change it would have shown."""

from collections.abc import Iterator, Sequence
from functools import partial

from sae_audit.comparison.limits.sentences import requests
from sae_audit.comparison.power import (
    POWER,
    smallest_share,
    smallest_shift,
    smallest_switching_share,
)
from sae_audit.comparison.testing import Test, smallest_p
from sae_audit.comparison.types import (
    AtMatchedMargin,
    BehaviourChange,
    CascadeChange,
    Detectable,
    DirectionsNeededChange,
    FeatureChange,
    Paired,
)

NEEDED = "directions needed at matched margin"
SIZE = "set size at matched margin"
FEATURES = "features in the sets at matched margin"
DEPTH = "depth of cascades at matched margin"
"""Names of tests of which a comparison has at most one."""

_EXACT = "exact, binomial"
_EACH_OF_TWO = (1 + POWER) / 2
"""Power that each of two tests needs for both together to have `POWER`, whatever their dependence."""


def tests_of(
    behaviour: Sequence[BehaviourChange],
    directions_needed: DirectionsNeededChange | None,
    features: FeatureChange | None,
    cascades: CascadeChange | None,
) -> Iterator[Test]:
    """Every test for a change of one comparison."""
    for change in behaviour:
        if not change.category:
            yield _refused(change)
        yield _score(change)
    if directions_needed is not None:
        yield _counted(NEEDED, directions_needed.at_margin, "directions")
    if features is not None:
        yield _counted(SIZE, features.size_at_margin, "features")
        yield _features(features)
    if cascades is not None:
        yield _counted(DEPTH, cascades.depth_at_margin, "waves")


def refused_name(label: str) -> str:
    return f"share of {requests(label)} refused"


def score_name(label: str, category: str = "") -> str:
    return f"mean score of {requests(label)}" + (f": {category}" if category else "")


def _refused(change: BehaviourChange) -> Test:
    n = change.refused_a.n
    return Test(
        name=refused_name(change.label),
        n=n,
        p_value=change.refused.p_value,
        smallest_p=smallest_p(n),
        could_show=partial(_refusals, n, round(n * change.refused_a.value), change.label),
    )


def _refusals(n: int, n_refused: int, label: str, level: float) -> Detectable:
    """Loss of refusal of harmful prompts, gain of that of harmless ones."""
    lost = label == "harmful"
    n_open = n_refused if lost else n - n_refused
    share = smallest_switching_share(n_open, level)
    what = "refused by the parent loses refusal" if lost else "answered by the parent is refused"
    return Detectable(
        value=None if share is None else share * n_open / n,
        unit="share of prompts",
        level=level,
        power=POWER,
        method=f"{_EXACT}: each of {n_open} prompts {what} with the same probability, none the other "
        "way",
    )


def _score(change: BehaviourChange) -> Test:
    n = change.score.difference.n
    return Test(
        name=score_name(change.label, change.category),
        n=n,
        p_value=change.score.p_value,
        smallest_p=smallest_p(n),
        could_show=partial(_shift, change.score, "nats"),
    )


def _shift(paired: Paired, unit: str, level: float) -> Detectable:
    n = paired.difference.n
    if paired.spread == 0.0:
        return _changed_share(n, level, POWER)
    shift = smallest_shift(n, level)
    return Detectable(
        value=None if shift is None else shift * paired.spread,
        unit=unit,
        level=level,
        power=POWER,
        method=f"normal differences of {n} prompts with the spread seen, {paired.spread:.2g} {unit}",
    )


def _changed_share(n: int, level: float, power: float) -> Detectable:
    """Without any spread to go by: of how many prompts the number must change, all one way."""
    return Detectable(
        value=smallest_switching_share(n, level, power),
        unit="share of prompts",
        level=level,
        power=POWER,
        method=f"{_EXACT}: each of {n} prompts changes, by as much and the same way, with the same "
        "probability (the differences seen have no spread)",
    )


def _counted(name: str, change: AtMatchedMargin, unit: str) -> Test:
    n = 0 if change.adjusted is None else change.adjusted.n
    return Test(
        name=name,
        n=n,
        p_value=change.p_value,
        smallest_p=change.smallest_p,
        could_show=partial(_count, change, n, unit),
    )


def _count(change: AtMatchedMargin, n: int, unit: str, level: float) -> Detectable:
    """Both comparisons must show it, so each needs the power of which two leave enough."""
    cases = list(zip((change.n_pairs, n), change.spreads, strict=True))
    if not any(change.spreads):
        return _changed_share(min(n, change.n_pairs), level, _EACH_OF_TWO)
    shifts = [smallest_shift(one, level, _EACH_OF_TWO) for one, _ in cases]
    known = [s * spread for s, (_, spread) in zip(shifts, cases, strict=True) if s is not None]
    return Detectable(
        value=max(known) if len(known) == len(cases) else None,
        unit=unit,
        level=level,
        power=POWER,
        method=f"normal differences with the spreads seen; {change.n_pairs} matched pairs and the "
        f"regression over {n} prompts each find it with {_EACH_OF_TWO:.0%}",
    )


def _features(change: FeatureChange) -> Test:
    return Test(
        name=FEATURES,
        n=change.n,
        p_value=min(shift.p_value for shift in change.shifts),
        smallest_p=change.size_at_margin.smallest_p,
        could_show=partial(_loss_of_a_feature, change),
    )


def _loss_of_a_feature(change: FeatureChange, level: float) -> Detectable:
    enough = [k for k, p_value in enumerate(change.p_by_losses, 1) if p_value <= level]
    return Detectable(
        value=smallest_share(change.n, min(enough)) if enough else None,
        unit="share of prompts",
        level=level,
        power=POWER,
        method=f"a feature of all {change.n} sets of the parent is lost on each prompt with the same "
        "probability; p-values simulated beside the features that there are, then exact, binomial",
    )
