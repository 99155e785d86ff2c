"""The prompts of a taxonomy that the model treats as the taxonomy says, in halves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sae_audit.findings import CategoryPrompts
from sae_audit.margins import answers, refuses
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.taxonomy import CategorisedPrompts
from sae_audit.prompts.types import Prompt

ASKED_FOR_EACH = 4
"""Prompts asked at most for each refused one that is wanted."""


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Prompts of one kind: the first half makes a direction, on the second its effects are measured."""

    made_of: tuple[Prompt, ...]
    tried_on: tuple[Prompt, ...]

    @property
    def both(self) -> list[Prompt]:
        return [*self.made_of, *self.tried_on]


@dataclass(frozen=True, kw_only=True)
class RefusedByCategory:
    """Refused prompts of each category that has enough, and answered harmless ones."""

    sizes: tuple[CategoryPrompts, ...]
    """Every category of the taxonomy."""
    refused: Mapping[str, Halves]
    harmless: Halves
    complied: tuple[Prompt, ...]
    """Prompts of these categories that the model answers."""
    over_refused: tuple[Prompt, ...]
    """Harmless prompts that it refuses."""

    @property
    def tried_on(self) -> list[Prompt]:
        """The held-out refused prompts of all categories, one category after the other."""
        return [one for own in self.refused.values() for one in own.tried_on]

    @property
    def slices(self) -> list[slice]:
        """The place of each category in `tried_on`."""
        ends = np.cumsum([0, *(len(own.tried_on) for own in self.refused.values())]).tolist()
        return [slice(a, b) for a, b in pairwise(ends)]


def refused_by_category(state: AuditState, prompts: CategorisedPrompts) -> RefusedByCategory:
    """The prompts used, drawn by the seed; the model is asked for the clean score of each candidate."""
    settings = state.config.categories
    sizes: list[CategoryPrompts] = []
    refused: dict[str, Halves] = {}
    complied: list[Prompt] = []
    for name, own in prompts.categories.items():
        asked = drawn(own, state.config.seed)[: ASKED_FOR_EACH * settings.per_category]
        scores = state.subject.clean_scores(asked)
        kept = [one for one, score in zip(asked, scores, strict=True) if refuses(score)]
        used = kept[: settings.per_category] if len(kept) >= settings.minimum else []
        sizes.append(
            CategoryPrompts(
                category=name, n_asked=len(asked), n_refused=len(kept), n_used=len(used)
            )
        )
        if used:
            refused[name] = _halves(used)
            complied += [one for one, score in zip(asked, scores, strict=True) if answers(score)]
    # Enough harmless prompts that their mean is known better than any category's.
    asked = drawn(prompts.harmless, state.config.seed)[: ASKED_FOR_EACH * settings.per_category]
    scores = state.subject.clean_scores(asked)
    answered = [one for one, score in zip(asked, scores, strict=True) if answers(score)]
    return RefusedByCategory(
        sizes=tuple(sizes),
        refused=refused,
        harmless=_halves(answered),
        complied=tuple(complied),
        over_refused=tuple(one for one, score in zip(asked, scores, strict=True) if refuses(score)),
    )


def drawn(prompts: Sequence[Prompt], seed: int) -> list[Prompt]:
    """The prompts in an order that does not depend on that of files."""
    pool = sorted(prompts, key=lambda one: one.id)
    return [pool[i] for i in np.random.default_rng([seed, len(pool)]).permutation(len(pool))]


def _halves(prompts: Sequence[Prompt]) -> Halves:
    middle = (len(prompts) + 1) // 2
    return Halves(made_of=tuple(prompts[:middle]), tried_on=tuple(prompts[middle:]))
