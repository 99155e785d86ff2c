"""What directions of categories come to, in sentences."""

import math
from collections.abc import Sequence

import numpy as np

from sae_audit.findings import (
    CategoryAblation,
    CategoryFindings,
    CategoryLeft,
    Knob,
    Steering,
    SteeringCurve,
    TooFewCategories,
)
from sae_audit.findings.categories import POOLED_DIRECTION, RANDOM_DIRECTION, THRESHOLD
from sae_audit.pages.wording import between, nats, percent
from sae_audit.report.verdict.words import several

_KEPT = 0.9
"""Share of refusals that a random direction must leave for ablations to say something."""


def too_few_sentence(found: TooFewCategories) -> str:
    """Which categories are refused, and that this is too little."""
    enough = [one.category for one in found.sizes if one.n_used]
    refused = f"{', '.join(enough)} alone is" if enough else "none of them is"
    if len(enough) > 1:
        return (
            f"Not known: only {several(found.n_harmless, 'harmless prompt')} of the taxonomy are "
            "answered."
        )
    return f"Not known: of {len(found.sizes)} categories {refused} refused often enough to compare."


def families_sentence(found: CategoryFindings) -> str:
    """Whether the directions fall into groups, beyond what topics of harmless requests do."""
    n = len(found.directions)
    groups = "; ".join(", ".join(own) for own in found.families)
    null = found.topics_silhouette
    if null is None:
        return (
            f"The directions of {n} categories group as: {groups} (silhouette {found.silhouette:.2f}); "
            "with too few harmless prompts it is not known how unrelated topics would."
        )
    beside = (
        f"silhouette {found.silhouette:.2f}; {null.n} draws of unrelated harmless topics: "
        f"{null.lowest:.2f} to {null.highest:.2f}"
    )
    if found.silhouette > null.highest:
        return f"{n} categories fall into {len(found.families)} families: {groups} ({beside})."
    return f"No families stand out among the directions of {n} categories ({beside})."


def alike_sentence(found: CategoryFindings) -> str:
    """Whether the directions are more alike than those of unrelated topics."""
    said = f"The mean cosine between their directions is {between(found.shared_pool.mean, _two)}."
    own, null = found.mean_at_topic_size, found.topics
    if own is None or null is None:
        return f"{said} What unrelated topics would give is not known: too few harmless prompts."
    topics = (
        f"with as few prompts as these ({found.topic_size:.0f}) theirs is {own.lowest:.2f} to "
        f"{own.highest:.2f}"
    )
    beside = f"Unrelated topics of harmless requests give {null.lowest:.2f} to {null.highest:.2f}"
    if own.lowest > null.highest:
        return f"{said} {beside}; {topics}: the categories have more in common than topics have."
    if own.highest < null.lowest:
        return f"{said} {beside}; {topics}: the categories have less in common than topics have."
    return f"{said} {beside}; {topics}: that is no sign of anything shared by refusals."


def own_sentence(found: CategoryFindings, kl_limit: float) -> str:
    """Whether a category's own direction does more to its refusals than the others' directions do."""
    own = found.specific
    if own.low > 0.0:
        said = (
            "Projected out, a category's own direction lowers its refusal score by "
            f"{between(own, nats)} nats more than the other categories' directions do."
        )
    elif own.high < 0.0:
        said = (
            "Projected out, a category's own direction does less to its refusals than the other "
            f"categories' directions do ({between(own, nats)} nats)."
        )
    else:
        said = (
            "Projected out, a category's own direction was not shown to do more to its refusals than "
            f"the other categories' directions ({between(own, nats)} nats)."
        )
    return f"{said} {blunt_sentence(found, kl_limit)}".rstrip()


def blunt_sentence(found: CategoryFindings, kl_limit: float) -> str:
    """That these ablations break more than refusal, if they do; else empty."""
    kept = left_by(the(found, RANDOM_DIRECTION))
    costs = [one.kl.value for one in found.ablations[: len(found.directions)]]
    n_costly = sum(cost > kl_limit for cost in costs)
    parts: list[str] = []
    if n_costly:
        parts.append(
            f"{n_costly} of {len(costs)} cost more than KL {kl_limit:g} on harmless prompts (up to "
            f"{max(costs):.2g})"
        )
    if kept < _KEPT:
        parts.append(f"a random direction leaves only {percent(kept)} of the refusals")
    if not parts:
        return ""
    return f"Believe it for little: {' and '.join(parts)}."


def knob_sentence(steering: Steering) -> str:
    """Whether steering along any category's direction trades refusal against over-refusal alike."""
    own = [one for one in steering.curves if _is_category(one)]
    by_knob = {knob: [one.along for one in own if _knob(one) is knob] for knob in Knob}
    equal, different, unclear = (by_knob[knob] for knob in (Knob.EQUAL, Knob.DIFFERENT, Knob.OPEN))
    within = f"equal within {steering.equal_within:g}"
    if not steering.could_differ:
        return (
            "One knob or several cannot be told: random directions trade refusals alike too, as every "
            "direction does if harmful and harmless prompts are told apart without exception; harmful "
            "prompts that are answered, or harmless ones that are refused, would show it."
        )
    if len(equal) == len(own):
        return (
            "One knob: steering along any category's direction trades refusals of harmful requests "
            f"against those of harmless ones as along their common direction ({within})."
        )
    if different:
        alike = f" {len(equal)} are {within}." if equal else ""
        open_ = f" Of {len(unclear)} it cannot be told." if unclear else ""
        return (
            f"More than one knob: steering along {_listed(different)} trades refusals of harmful "
            f"requests against those of harmless ones otherwise than along their common direction."
            f"{alike}{open_}"
        )
    n = steering.n_harmful_refused + steering.n_harmful_answered
    m = steering.n_harmless_refused + steering.n_harmless_answered
    widest = max(one.against_pooled.upper for one in own if one.against_pooled is not None)
    times = math.ceil((widest / steering.equal_within) ** 2)
    return (
        f"One knob or several cannot be told: {len(equal)} of {len(own)} categories' directions are "
        f"{within} to their common one with {n} harmful and {m} harmless prompts, and none is shown to "
        f"differ; some {times} times as many prompts would do."
    )


def threshold_sentence(steering: Steering) -> str:
    """Whether the common direction does anything that a mere shift of all scores would not."""
    (moved,) = (one for one in steering.curves if one.along == THRESHOLD)
    said = {
        Knob.EQUAL: "The common direction does no more than a bias of the first token would: raising "
        "all scores alike gives the same trade-off",
        Knob.DIFFERENT: "The common direction is more than a bias of the first token: raising all "
        "scores alike gives another trade-off",
        Knob.OPEN: "It cannot be told whether the common direction does more than a bias of the first "
        "token would",
    }
    found = moved.against_pooled
    assert found is not None, "the threshold against itself"
    return f"{said[found.knob]} (area between {found.area:.3f}, p = {found.p_value:.2g})."


def _is_category(curve: SteeringCurve) -> bool:
    special = (POOLED_DIRECTION, THRESHOLD)
    return curve.along not in special and not curve.along.startswith(f"{RANDOM_DIRECTION} ")


def _knob(curve: SteeringCurve) -> Knob | None:
    return None if curve.against_pooled is None else curve.against_pooled.knob


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def control_sentence(found: CategoryFindings) -> str:
    """What random directions and random deals of prompts do."""
    kept = left_by(the(found, RANDOM_DIRECTION))
    return (
        f"{found.n_random} random directions, one at a time, leave {percent(kept)} of the refusals. "
        "That the categories' means differ at all has p = "
        f"{found.p_differ:.2g} against random deals of the prompts, as requests about different "
        "things would."
    )


def the(found: CategoryFindings, out: str) -> CategoryAblation:
    """The ablation of that name."""
    return next(one for one in found.ablations if one.out == out)


def left_by(ablation: CategoryAblation) -> float:
    """Share of refusals left, mean over categories."""
    return float(np.mean([one.refused.value for one in ablation.left]))


def mean_score(left: Sequence[CategoryLeft]) -> str:
    """Mean refusal score over categories."""
    return nats(float(np.mean([one.score.value for one in left])))


def _two(value: float) -> str:
    return f"{value:z.2f}"
