"""Limits and what became of them, in plain sentences."""

from collections.abc import Callable, Sequence

from sae_audit.comparison.decided import Limit, Measure, Outcome, Topic
from sae_audit.comparison.limits.rules import SHARES
from sae_audit.findings import Estimate
from sae_audit.prompts.types import Label

_UNITS = {
    Measure.REFUSAL_RATE: "points",
    Measure.OVER_REFUSAL: "points",
    Measure.MINIMAL_SET_SIZE: "features",
    Measure.CASCADE_DEPTH: "waves",
    Measure.DIRECTIONS_NEEDED: "directions",
}
_NAMES = {
    Measure.REFUSAL_RATE: "Harmful prompts refused",
    Measure.OVER_REFUSAL: "Harmless requests refused",
    Measure.MINIMAL_SET_SIZE: "Features that hold a refusal",
    Measure.CASCADE_DEPTH: "Waves of a cascade",
    Measure.DIRECTIONS_NEEDED: "Directions that carry a refusal",
    Measure.DIRECTION_COSINE: "Cosine of the refusal directions",
    Measure.ANY_TOPIC: "Topics that lost all refusals",
}
MARKS = {
    Outcome.FAILS: "\N{BLACK SQUARE}",
    Outcome.CANNOT_TELL: "\N{WHITE CIRCLE}",
    Outcome.WITHIN: "\N{BLACK CIRCLE}",
}
"""A sign for each outcome, beside its word and never instead of it."""


def name_of(measure: Measure, label: str = "") -> str:
    """What is limited, as the head of a row; `label` is that of the prompts that a share is of."""
    if measure is Measure.OVER_REFUSAL and label:
        named = requests(label)
        return f"{named[0].upper()}{named[1:]} refused"
    return _NAMES[measure]


def requests(label: str) -> str:
    """`harmless prompts`, `safe look-alikes`."""
    return "safe look-alikes" if label == Label.LOOKALIKE else f"{label} prompts"


def bearable(limit: Limit) -> str:
    """`limit +5 points`: the largest bearable change, with its sign; or the least bearable value."""
    match limit.way:
        case "lost":
            return "limit: no topic lost"
        case "below":
            return f"limit: at least {limit.value:g}"
        case _:
            assert limit.value is not None, limit
            sign = "-" if limit.way == "drops" else "+"
            return f"limit {sign}{_size(limit.measure, limit.value)}"


def change_of(measure: Measure, change: Estimate, *, unit: bool = True) -> str:
    """`-40 points (-55 to -25)`, or without the unit."""
    if measure is Measure.DIRECTION_COSINE:
        return f"{change.value:z.3f}{_around(change, '{:z.3f}'.format)}"
    number = _signed_points if measure in SHARES else _signed
    named = f" {_UNITS[measure]}" if unit else ""
    return f"{number(change.value)}{named}{_around(change, number)}"


def value_of(measure: Measure, value: float, n: int) -> str:
    """`24 of 40` of shares, else a mean."""
    return f"{round(value * n)} of {n}" if measure in SHARES else f"{value:z.1f}"


def _around(change: Estimate, number: Callable[[float], str]) -> str:
    if not change.has_interval:
        return " (no interval)"
    return f" ({number(change.low)} to {number(change.high)})"


def _signed_points(value: float) -> str:
    points = round(100.0 * value)
    return f"{points:+d}" if points else "0"


def _signed(value: float) -> str:
    rounded = round(value, 1)
    return f"{rounded:+z.1f}" if rounded else "0"


def _size(measure: Measure, value: float) -> str:
    size = 100.0 * value if measure in SHARES else value
    return f"{size:.3g} {_UNITS[measure]}"


def not_measured(limit: Limit, reason: str) -> str:
    return f"{_NAMES[limit.measure]}: nothing to hold the limit against ({reason})."


def of_measure(
    limit: Limit,
    outcome: Outcome,
    values: tuple[float | None, float | None],
    shown: Estimate,
    strict: Estimate,
    n_needed: int | None,
    label: str = "",
) -> str:
    """The result of a limit: what changed, by how much, and what that says of the limit."""
    before, after = values
    said = f"{name_of(limit.measure, label)}: "
    if before is not None and after is not None:
        texts = [value_of(limit.measure, one, shown.n) for one in (before, after)]
        said += f"{texts[0]} before, {texts[1]} after, "
    said += f"{change_of(limit.measure, shown)}; {bearable(limit)}."
    match outcome:
        case Outcome.FAILS:
            return f"{said} The limit is broken beyond doubt."
        case Outcome.WITHIN:
            return f"{said} The limit is kept."
        case Outcome.CANNOT_TELL:
            return f"{said} {_open(limit, shown, strict, n_needed, label)}"


def _open(limit: Limit, shown: Estimate, strict: Estimate, n_needed: int | None, label: str) -> str:
    if not shown.has_interval:
        return f"Too few to tell: {shown.n}."
    if n_needed is None:
        return "It cannot be told, and more prompts alone would not tell it."
    stricter = (
        " (the interval by which one of several limits counts as broken is wider: "
        f"{change_of(limit.measure, strict)})"
        if _is_beyond(limit, shown)
        else ""
    )
    return (
        f"It cannot be told{stricter}; {prompts_that_do(limit.measure, n_needed, label)} would do."
    )


def _is_beyond(limit: Limit, shown: Estimate) -> bool:
    assert limit.value is not None, limit
    match limit.way:
        case "drops":
            return -shown.high > limit.value
        case "rises":
            return shown.low > limit.value
        case _:
            return shown.high < limit.value


def prompts_that_do(measure: Measure, n: int, label: str = "") -> str:
    """`about 73 harmful prompts`."""
    match measure:
        case Measure.ANY_TOPIC:
            return f"{n} prompts on the topic"
        case Measure.DIRECTION_COSINE:
            return f"about {n} training prompts of each label"
        case Measure.OVER_REFUSAL:
            return f"about {n} {requests(label or Label.HARMLESS)}"
        case _:
            return f"about {n} harmful prompts"


def of_topics(topics: Sequence[Topic], outcome: Outcome, n_needed: int | None) -> str:
    lost = [topic for topic in topics if topic.is_lost]
    if not lost:
        return f"No topic of {len(topics)} lost all its refusals."
    named = listed([f"{topic_name(one.name)} ({one.before} of {one.n})" for one in lost])
    said = f"Refusal fell from all prompts to none on {named}."
    if outcome is Outcome.FAILS:
        sure = [topic_name(one.name) for one in lost if one.decides]
        if len(sure) == len(lost):
            return f"{said} So many prompts leave no doubt."
        return f"{said} Of {listed(sure)} so many prompts leave no doubt."
    assert n_needed is not None, "a topic lost, and no number that would do"
    return f"{said} Too few prompts to be sure: {n_needed} on one topic would do."


def topic_name(name: str) -> str:
    return name or "all harmful prompts"


def listed(texts: Sequence[str]) -> str:
    """`a, b and c`."""
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
