"""All minimal sets of one prompt, found through their hitting sets.

Redundant mechanisms have many minimal sets. If ablating more never restores refusal, the minimal sets
and their minimal hitting sets determine each other (duality of monotone functions: Fredman and Khachiyan
1996), which shows when the list is complete:

1. Take the minimal hitting sets of the minimal sets found so far. The complement of one is a largest set
   that ablates no found set whole.
2. If the complement refuses, the hitting set is settled: the complement holds no minimal set.
3. If it flips, search it for a new minimal set. Certify that, and go back to 1.
4. The list is complete once every minimal hitting set is settled: the complement of a further minimal
   set M would hit all found ones and so hold a settled hitting set, and M would lie in a set that
   refuses.
"""

from collections.abc import Sequence

import numpy as np

from sae_audit.config import MinimalSettings
from sae_audit.findings import CertifiedSet, MinimalSet, MinimalSetFamily
from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking, Scores, T
from sae_audit.minimal.hitting_sets import NO_SETS
from sae_audit.minimal.search import certified
from sae_audit.vocabulary import FeatureId, FeatureSet


def minimal_set_family(
    first: MinimalSet, order: Sequence[FeatureId], settings: MinimalSettings
) -> Asking[MinimalSetFamily]:
    """Every minimal set of a prompt, or those found within `settings.more_sets_budget` scored sets.

    `first` is the prompt's own, certified; `order` holds all candidates, the likeliest first.
    """
    assert first.certified, first
    everything, budget = frozenset(order), settings.more_sets_budget
    known = _Known(first, everything, budget=budget)
    sets = [
        CertifiedSet(
            features=first.features,
            ablated_score=first.ablated_score,
            score_without=first.score_without,
        )
    ]
    # More hitting sets than sets that may be scored could not all be settled.
    hitting = NO_SETS.and_of(frozenset(first.features), at_most=max(budget, 1))
    complete = False
    try:
        while rests := known.unsettled([everything - one for one in hitting.minimal]):
            rests = rests[: max(1, min(settings.patience, known.n_left))]
            scores = yield from known.asked(rests)
            for rest, score in zip(rests, scores, strict=True):
                if not answers(float(score)) or any(rest.issuperset(one.features) for one in sets):
                    continue
                own_order = [feature for feature in order if feature in rest]
                found = yield from known.result_of(certified(own_order, settings))
                sets.append(found.as_finding())
                hitting = hitting.and_of(found.features, at_most=budget)
        complete = hitting.whole
    except _BudgetSpentError:
        pass
    contradicted = known.contradict_monotony()
    return MinimalSetFamily(
        prompt_id=first.prompt_id,
        sets=tuple(sets),
        complete=complete and not contradicted,
        contradicted=contradicted,
        n_sets_scored=budget - known.n_left,
    )


class _BudgetSpentError(Exception):
    """The next round would exceed the budget of scored sets."""


class _Known:
    """Answers so far for one prompt; each set is asked for, and counted, once."""

    def __init__(self, first: MinimalSet, everything: FeatureSet, *, budget: int) -> None:
        whole = frozenset(first.features)
        self.n_left = budget
        self._scores = {
            frozenset[FeatureId](): first.clean_score,
            everything: first.candidates_score,
            whole: first.ablated_score,
            **{whole - {feature}: score for feature, score in first.score_without.items()},
        }

    def unsettled(self, sets: Sequence[FeatureSet]) -> list[FeatureSet]:
        """The sets not known to refuse."""
        return [one for one in sets if one not in self._scores or answers(self._scores[one])]

    def asked(self, sets: Sequence[FeatureSet]) -> Asking[Scores]:
        new = [one for one in dict.fromkeys(sets) if one not in self._scores]
        if len(new) > self.n_left:
            raise _BudgetSpentError
        if new:
            scores = yield new
            self.n_left -= len(new)
            self._scores |= zip(new, map(float, scores), strict=True)
        return np.array([self._scores[one] for one in sets])

    def result_of(self, asking: Asking[T]) -> Asking[T]:
        """The result of a search, its questions answered from known scores or else asked."""
        try:
            sets = next(asking)
            while True:
                sets = asking.send((yield from self.asked(sets)))
        except StopIteration as end:
            return end.value

    def contradict_monotony(self) -> bool:
        """Whether some set refuses although a subset of it flips."""
        flip = [one for one, score in self._scores.items() if answers(score)]
        refuse = [one for one, score in self._scores.items() if not answers(score)]
        return any(part < whole for part in flip for whole in refuse)
