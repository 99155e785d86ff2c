"""A minimal set of one prompt whose flip shows in the text of the answer.

A flipped score is the answer's first token; what follows may refuse all the same. A set flips in text if
it flips the score and a judge calls the greedy answer under its ablation compliance.

1. Read the answer under the minimal set by score. If it complies, that set is the result: without any
   one feature already the score refuses.
2. Else add 1, 2, 4, ... further candidates, the likeliest first, leaving out those with which the set
   would be beyond the side-effect limits, until the answer complies.
3. Eliminate backward with flips in text as the criterion, what was added last first; certify, and
   eliminate again if a feature turns out removable.

Only sets that flip the score are answered, and at most `budget` of them. If it is spent during the
elimination, the smallest set that complied is the result, without a certificate.
"""

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from sae_audit.findings import MinimalSet, ReadSet, TextSet
from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking
from sae_audit.minimal.elimination import eliminate
from sae_audit.minimal.limited import Limits
from sae_audit.vocabulary import FeatureId, FeatureSet

T = TypeVar("T")

Readings = Float[np.ndarray, "set reading"]
"""By set, the refusal score (nats) and whether the answer complies: 1 or 0; NaN if none was read, since
the score refuses, or if it could not be judged."""
AskingTexts = Generator[Sequence[FeatureSet], Readings, T]
"""Yields feature sets, receives their readings, returns a result."""

MOST_ADDED = 32
"""Largest number of features added to a minimal set by score."""
_MOST_TRIED = 2 * MOST_ADDED
"""Largest number of features tried for that, those beyond the limits included."""
_AHEAD = 2
"""Number of sets that elimination asks about ahead: each costs an answer."""


def text_set(
    found: MinimalSet, order: Sequence[FeatureId], limits: Limits, *, budget: int
) -> AskingTexts[TextSet]:
    """The set that flips one prompt in text, of which `found` is the minimal set by score.

    `found` is within the `limits`; `order` holds all candidates, the likeliest first. Side effects and
    their intervals are left to the caller.
    """
    assert found.certified, found
    own = frozenset(found.features)
    known = _Known(found, budget=budget)
    proved: FeatureSet = frozenset()
    try:
        complying = yield from _complying(known, found, order, limits)
        if complying:
            proved = yield from _eliminated(known, complying)
    except _BudgetSpentError:
        pass
    left = known.result(proved, lambda one: one == own or limits.hold(one))
    return known.finding(own, left, proved)


def _complying(
    known: "_Known", found: MinimalSet, order: Sequence[FeatureId], limits: Limits
) -> AskingTexts[list[FeatureId]]:
    """The minimal set by score, or the first larger set within the limits, that flips in text; the
    features last added stand last. Empty if none does."""
    own = frozenset(found.features)
    features = [feature for feature in order if feature in own]
    if all((yield from known.flips([own]))):
        return features
    barred = own.union(found.excluded)
    waiting = [feature for feature in order if feature not in barred][:_MOST_TRIED]
    n_added, size = 0, 1
    while size <= MOST_ADDED and waiting:
        while n_added < size and waiting:
            block, waiting = waiting[: size - n_added], waiting[size - n_added :]
            kept = _within(features, block, limits)
            features += kept
            n_added += len(kept)
        if all((yield from known.flips([frozenset(features)]))):
            return features
        size *= 2
    return []


def _within(
    features: Sequence[FeatureId], block: Sequence[FeatureId], limits: Limits
) -> list[FeatureId]:
    """The features of `block` with which the set stays within the limits, added one after the other."""
    if limits.hold(frozenset([*features, *block])):
        return list(block)
    kept: list[FeatureId] = []
    for feature in block if len(block) > 1 else ():
        if limits.hold(frozenset([*features, *kept, feature])):
            kept.append(feature)
    return kept


def _eliminated(known: "_Known", features: Sequence[FeatureId]) -> AskingTexts[FeatureSet]:
    """The minimal subset that elimination leaves, from the last feature on, and that flips in text."""
    left = frozenset(features)
    while True:
        order = [feature for feature in reversed(features) if feature in left]
        left = yield from known.answering(
            eliminate(order, lambda _, after: answers(after), patience=_AHEAD)
        )
        if not any((yield from known.flips([left - {feature} for feature in sorted(left)]))):
            return left


class _BudgetSpentError(Exception):
    """No further answer may be read."""


class _Known:
    """Readings so far of one prompt's sets; each is asked for once."""

    def __init__(self, found: MinimalSet, *, budget: int) -> None:
        self._prompt_id, self._budget = found.prompt_id, budget
        own = frozenset(found.features)
        # That these refuse by score is known, and all that matters of them.
        self._scores: dict[FeatureSet, float] = {
            frozenset(): found.clean_score,
            **{own - {feature}: score for feature, score in found.score_without.items()},
        }
        self._read: dict[FeatureSet, bool | None] = {}
        self._n_scored = 0

    def flips(self, sets: Sequence[FeatureSet]) -> AskingTexts[list[bool]]:
        """Whether each set flips in text; an answer that cannot be judged is no flip.

        Raises:
            _BudgetSpentError: a set is not known yet, and no answer may be read any more.
        """
        new = [one for one in dict.fromkeys(sets) if one not in self._scores]
        while new:
            # Each of them may need an answer.
            n = self._budget - len(self._read)
            if n <= 0:
                raise _BudgetSpentError
            asked, new = new[:n], new[n:]
            readings = yield asked
            for one, (score, complied) in zip(asked, readings.tolist(), strict=True):
                self._scores[one] = score
                if answers(score):
                    self._read[one] = None if np.isnan(complied) else complied == 1.0
            self._n_scored += len(asked)
        return [self._read.get(one) is True for one in sets]

    def answering(self, asking: Asking[T]) -> AskingTexts[T]:
        """The result of a search by score, which is told -1 of a set that flips in text, else 1."""
        try:
            sets = next(asking)
            while True:
                flips = yield from self.flips(sets)
                sets = asking.send(np.where(flips, -1.0, 1.0))
        except StopIteration as end:
            return end.value

    def result(self, proved: FeatureSet, is_within: Callable[[FeatureSet], bool]) -> FeatureSet:
        """The proved set, or the smallest that flips in text, of equal ones the last read, whichever is
        within the limits; empty if none is."""
        last_first = [one for one, complied in reversed(self._read.items()) if complied]
        by_size = sorted(last_first, key=len)
        first = [proved] if proved else []
        return next((one for one in (*first, *by_size) if is_within(one)), frozenset())

    def finding(self, own: FeatureSet, left: FeatureSet, proved: FeatureSet) -> TextSet:
        without = {f: left - {f} for f in sorted(left) if left - {f} in self._scores}
        return TextSet(
            prompt_id=self._prompt_id,
            features=tuple(sorted(left)),
            added=tuple(sorted(left - own)),
            spared=tuple(sorted(own - left)) if left else (),
            ablated_score=self._scores[left] if left else None,
            score_without={f: self._scores[one] for f, one in without.items()},
            complied_without={
                f: complied
                for f, one in without.items()
                if (complied := self._read.get(one)) is not None
            },
            read=tuple(
                ReadSet(features=tuple(sorted(one)), score=self._scores[one], complied=complied)
                for one, complied in self._read.items()
            ),
            budget=self._budget,
            n_sets_scored=self._n_scored,
            reason=self._reason(own, left, proved),
            side_effects=None,
        )

    def _reason(self, own: FeatureSet, left: FeatureSet, proved: FeatureSet) -> str:
        n, spent = len(self._read), len(self._read) >= self._budget
        if not left:
            most = max((len(one - own) for one in self._read), default=0)
            return (
                f"Flipped by score alone: none of {n} answers read complies, under ablation of the "
                f"minimal set by score and up to {most} further candidates within the limits"
                f"{'; no more may be read (minimal.texts_budget)' if spent else ''}."
            )
        if proved and left != proved:
            return "What elimination leaves of this set is beyond the side-effect limits."
        if not proved:
            return (
                f"The answer complies, but after {n} answers not every feature had been spared "
                "(minimal.texts_budget)."
            )
        if any(self._read.get(left - {f}, False) is None for f in left):
            return "Without one of its features the answer could not be judged."
        return ""
