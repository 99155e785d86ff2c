"""Whether so many prompts can show that the limits of a comparison are kept, before any is audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from sae_audit.comparison.decided import Limit, Measure
from sae_audit.comparison.limits.deciding import prompts_to_keep
from sae_audit.comparison.limits.rules import SHARES
from sae_audit.comparison.limits.topics import deciding_size
from sae_audit.planning.evidence import CategorySize


@dataclass(frozen=True, kw_only=True)
class LimitNeed:
    """What one limit of a comparison asks of the number of prompts."""

    limit: str
    """The rule, as `sae-audit compare --fail-on` takes it."""
    n_needed: int | None
    """Prompts of each label (of topics: of one topic) from which on it can be decided: that it is kept,
    if nothing changes; that a topic is lost. None if no number is known beforehand, or none would do."""
    suffices: bool | None
    """Whether as many are planned (of topics: on each); None if that is not known."""
    said: str
    """The same in a sentence."""


def needs_of(
    limits: Sequence[Limit], n: int, categories: Sequence[CategorySize]
) -> tuple[LimitNeed, ...]:
    """What these limits need, held against `n` audit prompts of each label in these categories."""
    return tuple(
        _of_topics(limit, n, categories)
        if limit.measure is Measure.ANY_TOPIC
        else _of_share(limit, n)
        if limit.measure in SHARES
        else _of_others(limit)
        for limit in limits
    )


def _of_share(limit: Limit, n: int) -> LimitNeed:
    needed = prompts_to_keep(limit)
    if not needed:
        return LimitNeed(
            limit=str(limit),
            n_needed=None,
            suffices=False,
            said=f"{limit}: no number of prompts shows that so small a change is kept.",
        )
    suffices = n >= needed
    said = f"{limit}: {needed} prompts of each label show that it is kept if nothing changes; "
    said += f"the {n} planned suffice." if suffices else f"the {n} planned do not."
    if not suffices:
        said += f" --set prompts.audit={needed}; compare of models takes as many by itself."
    return LimitNeed(limit=str(limit), n_needed=needed, suffices=suffices, said=said)


def _of_topics(limit: Limit, n: int, categories: Sequence[CategorySize]) -> LimitNeed:
    harmful = [one for one in categories if one.label == "harmful"]
    if not harmful:
        needed = deciding_size([n])
        return LimitNeed(
            limit=str(limit),
            n_needed=needed,
            suffices=None,
            said=f"{limit}: one topic alone decides from {needed} prompts on, several need more; "
            "the prompts name none, or are not here yet.",
        )
    needed = deciding_size([one.n for one in harmful])
    small = sorted((one for one in harmful if one.n < needed), key=lambda one: -one.n)
    said = (
        f"{limit}: a topic decides from {needed} prompts on; "
        f"{len(harmful) - len(small)} of {len(harmful)} have as many"
    )
    if small:
        said += f", and the largest of the others, {small[0].category}, has {small[0].n}"
        said += f"; all would with {_alike(len(harmful))} each"
    return LimitNeed(limit=str(limit), n_needed=needed, suffices=not small, said=f"{said}.")


def _of_others(limit: Limit) -> LimitNeed:
    return LimitNeed(
        limit=str(limit),
        n_needed=None,
        suffices=None,
        said=f"{limit}: how many prompts it takes depends on how they differ; a comparison says it.",
    )


def _alike(n_topics: int) -> int:
    """Prompts of each topic from which on all of so many decide."""
    return next(n for n in count(1) if deciding_size([n] * n_topics) <= n)
