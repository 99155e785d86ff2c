"""What directions of categories come to, in sentences."""

from collections.abc import Sequence

import numpy as np

from sae_audit.findings import CategoryAblation, CategoryFindings, CategoryLeft, TooFewCategories
from sae_audit.findings.categories import RANDOM_DIRECTION
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
