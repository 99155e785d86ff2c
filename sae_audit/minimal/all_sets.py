"""All minimal sets of one prompt, by way of what they leave out.

Redundant mechanisms have many minimal sets. Where ablating more never restores refusal, they and
the sets that hit them all determine each other (duality of monotone functions: Fredman and
Khachiyan 1996), which tells when none is missing:

1. Take the minimal hitting sets of the minimal sets found so far. All candidates but one of those is
   a largest set that ablates none of the found sets whole.
2. If it refuses, this hitting set is settled: what is left holds no minimal set.
3. If it flips, search it: a minimal set not found before. Certify it, and go back to 1.
4. When every minimal hitting set is settled, the list is complete: a further minimal set M would
   leave out a feature of each found one, so its complement would hold a settled hitting set, and M
   would lie in a set that refuses.
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
    """Every minimal set of a prompt, or as many as `settings.more_sets_budget` scored sets find.

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
    """The next round would score more sets than may be scored."""


class _Known:
    """What has been asked of one prompt; each set is asked for once, and counts once."""

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
        """Those not known to refuse."""
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
        """The result of a search whose questions are answered from what is known, else asked."""
        try:
            sets = next(asking)
            while True:
                sets = asking.send((yield from self.asked(sets)))
        except StopIteration as end:
            return end.value

    def contradict_monotony(self) -> bool:
        """Whether some set refuses although a part of it flips."""
        flip = [one for one, score in self._scores.items() if answers(score)]
        refuse = [one for one, score in self._scores.items() if not answers(score)]
        return any(part < whole for part in flip for whole in refuse)
