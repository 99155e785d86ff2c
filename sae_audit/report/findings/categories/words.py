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

_LEVEL = 0.05
_KEPT = 0.9
"""Share of refusals that a random direction must leave for ablations to say something."""


def too_few_sentence(found: TooFewCategories) -> str:
    """Which categories are refused, and that this is too little."""
    enough = [one.category for one in found.sizes if one.n_used]
    if len(enough) > 1:
        answered = several(found.n_harmless, "harmless prompt")
        return f"Not known: the model answers only {answered} of the taxonomy."
    refused = f"{enough[0]} alone is" if enough else "none is"
    return f"Not known: of {len(found.sizes)} categories {refused} refused often enough to compare."


def families_sentence(found: CategoryFindings) -> str:
    """Whether the directions fall into groups, beyond what topics of harmless requests do."""
    n = len(found.directions)
    if n < 3:
        return "Two categories are too few to ask for families among them."
    groups = "; ".join(", ".join(own) for own in found.families)
    own, null = found.silhouette_at_topic_size, found.topics_silhouette
    if own is None or null is None:
        return (
            f"The directions of {n} categories group as: {groups} (silhouette {found.silhouette:.2f}); "
            "with too few harmless prompts it is not known how unrelated topics would."
        )
    beside = (
        f"silhouette {found.silhouette:.2f}; with as few prompts as topics have {own.lowest:.2f} to "
        f"{own.highest:.2f}, and of {null.n} draws of unrelated harmless topics "
        f"{null.lowest:.2f} to {null.highest:.2f}"
    )
    if own.lowest > null.highest:
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
    return f"This says little: {' and '.join(parts)}."


def knob_sentence(steering: Steering) -> str:
    """Whether steering along any category's direction trades refusal against over-refusal alike."""
    own = [one for one in steering.curves if _is_category(one)]
    by_knob = {knob: [one.along for one in own if _knob(one) is knob] for knob in Knob}
    equal, better, worse = (by_knob[knob] for knob in (Knob.EQUAL, Knob.BETTER, Knob.WORSE))
    within = f"equal within {steering.equal_within:g}"
    if better or worse:
        parts = [
            f"along {', '.join(names)} {said}"
            for names, said in ((better, "more"), (worse, "fewer"))
            if names
        ]
        rest = f" {', '.join(equal)}: {within}." if equal else ""
        return (
            "More than one knob: at equal refusals of harmless requests steering refuses "
            f"{' and '.join(parts)} harmful ones than along the common direction.{rest}"
        )
    if len(equal) == len(own):
        return (
            "One knob: at equal refusals of harmless requests, steering along any category's direction "
            f"refuses as many harmful ones as along the common direction ({within})."
        )
    if steering.headroom < steering.equal_within:
        return (
            "One knob or several cannot be told: the scores of harmful and harmless requests are so far "
            "apart that whatever raises them all trades alike; requests nearer to the threshold would "
            "tell."
        )
    n = steering.n_harmful_refused + steering.n_harmful_answered
    m = steering.n_harmless_refused + steering.n_harmless_answered
    return (
        f"One knob or several cannot be told: of {len(own)} categories' directions {len(equal)} are "
        f"{within} to the common one with {n} harmful and {m} harmless prompts, and none was shown to "
        f"differ.{_enough(own, steering.equal_within)}"
    )


def _enough(curves: Sequence[SteeringCurve], within: float) -> str:
    """How many times as many prompts would make each difference certain to be small, if it is."""
    found = [one.against_pooled for one in curves if one.against_pooled is not None]
    if len(found) < len(curves) or any(one.area >= within for one in found):
        return ""
    # What resampling adds to the area shrinks with the root of the number of prompts.
    times = max(((one.upper - one.area) / (within - one.area)) ** 2 for one in found)
    return (
        f" Some {math.ceil(times)} times as many would do, if they do not." if times > 1.0 else ""
    )


def threshold_sentence(steering: Steering) -> str:
    """Whether the common direction does anything that a mere shift of all scores would not."""
    (moved,) = (one for one in steering.curves if one.along == THRESHOLD)
    said = {
        Knob.EQUAL: "The common direction does no more than a bias of the first token would: raising "
        "all scores alike gives the same trade-off",
        Knob.BETTER: "A bias of the first token would do better than the common direction: raising all "
        "scores alike refuses more harmful prompts at equal refusals of harmless ones",
        Knob.WORSE: "The common direction does better than a bias of the first token would: raising all "
        "scores alike refuses fewer harmful prompts at equal refusals of harmless ones",
        Knob.OPEN: "It cannot be told whether the common direction does more than a bias of the first "
        "token would",
    }
    found = moved.against_pooled
    if found is None:
        return f"{said[Knob.OPEN]}: too few harmless prompts come to be refused."
    return f"{said[found.knob]} (area between {found.area:.3f}, p = {found.p_value:.2g})."


def _is_category(curve: SteeringCurve) -> bool:
    special = (POOLED_DIRECTION, THRESHOLD)
    return curve.along not in special and not curve.along.startswith(f"{RANDOM_DIRECTION} ")


def _knob(curve: SteeringCurve) -> Knob | None:
    return None if curve.against_pooled is None else curve.against_pooled.knob


def control_sentence(found: CategoryFindings) -> str:
    """What random directions and random deals of prompts do."""
    kept = left_by(the(found, RANDOM_DIRECTION))
    if found.p_differ <= _LEVEL:
        differ = (
            f"That the categories' means differ at all has p = {found.p_differ:.2g} against random "
            "deals of the prompts, as requests about different things would."
        )
    else:
        differ = (
            "The categories' means differ no more than random deals of the prompts would make them "
            f"(p = {found.p_differ:.2g})."
        )
    return (
        f"{found.n_random} random directions, one at a time, leave {percent(kept)} of the refusals. "
        f"{differ}"
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
