"""The search with one null dictionary, ended once it is certain that it cannot do as well.

1. Ablate the whole pool on every prompt: one that this does not flip takes more features than there are.
2. Take the first prompt through steps 3 to 5, whatever is certain, until two sets are given up: which
   prompt that is depends on the dictionary's number alone, so that sizes of first prompts stand for all.
3. Search without side-effect limits, as many prompts together as would have to be as large to decide. A
   pool is widened, as the real one was, when its prompt's turn comes.
4. Hold what was found to the side-effect limits, as minimal sets are: without the candidates that are
   beyond them alone, and no further than until a set that must be given up is too large.
5. If flips count only in text, have the answers under the sets judged, and search on, as for the audited
   SAEs, for a larger set under which the answer complies.

A size counts as no smaller than any found on the way, so after each step the bounds may say that the
dictionary does worse.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sae_audit.controls.dictionary_null import counted_size, does_as_well
from sae_audit.findings import MinimalSet, SearchedSet, TextSet
from sae_audit.findings.stages import WIDENING
from sae_audit.margins import answers
from sae_audit.minimal.asking import answered, answered_together
from sae_audit.minimal.by_text import text_set
from sae_audit.minimal.limited import limited_set
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.pools import candidate_sets, widened_pool
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.pipeline.state import AuditState
from sae_audit.pipeline.text_search import Complied, Readings
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId

_ROUNDING = 1e-9
_GIVEN_UP = 2
"""Sets that the search for a first prompt gives up, unless all that follows depends on it."""
_PLAINLY = 4.0
"""Times the real mean size; a first prompt's set that is larger need not be known to the feature."""


@dataclass(kw_only=True)
class _Known:
    """What is known of one prompt."""

    pool: list[FeatureId]
    rounds: int
    """Rounds in which its pool may still be widened."""
    flips: bool
    """Whether ablating its whole pool does."""
    at_least: int = 1
    """Features that its flip takes at least."""
    found: MinimalSet | None = None
    limited: MinimalSet | None = None
    text: TextSet | None = None
    kl: float | None = None
    searched: bool = False
    orders: list[list[FeatureId]] = field(default_factory=list)

    def as_finding(self, prompt_id: str, *, in_text: bool) -> SearchedSet:
        last = self.text or self.limited or self.found
        if not self.flips and not self.rounds:
            size, exact = len(self.pool) + 1, True
        elif (within := self.text or self.limited) is not None:
            size = counted_size(len(within.features), self.at_least, len(self.pool))
            exact = self.text is not None or not (in_text and within.features)
        else:
            size, exact = self.at_least, False
        return SearchedSet(
            prompt_id=prompt_id,
            features=last.features if last is not None else (),
            n_candidates=len(self.pool),
            size=size,
            exact=exact,
            searched=self.searched,
            kl=self.kl,
            complied=None if self.text is None else self.text.flipped,
        )


def searched_sets(
    null: AuditState,
    prompts: Sequence[Prompt],
    own: Sequence[SearchedSet],
    *,
    number: int,
    to_the_end: bool,
    complied: Complied | None,
) -> tuple[SearchedSet, ...]:
    """What the search with the state's SAEs finds for these prompts; if not `to_the_end`, as far as it
    takes to know whether they do as well as the audited SAEs, whose sets are `own`.

    `complied` is the judge of answers under ablation, if a flip counts only in text.
    """
    search = _Search(null, prompts, own, to_the_end=to_the_end, complied=complied)
    first = number % len(prompts)
    search.run([*prompts[first:], *prompts[:first]])
    return search.sets


class _Search:
    def __init__(
        self,
        null: AuditState,
        prompts: Sequence[Prompt],
        own: Sequence[SearchedSet],
        *,
        to_the_end: bool,
        complied: Complied | None,
    ) -> None:
        self._null, self._own = null, own
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self._to_the_end, self._complied = to_the_end, complied
        self._changes: HarmlessChanges | None = None
        self._score = null.refusal_scores()
        candidates = candidate_sets(null, [null.candidates.per_layer])[0].ranked
        # As many features as the real search had: wider if it was, in as many rounds.
        rounds = {one.prompt_id: len(one.added) for one in null.session.found_each(WIDENING)}
        whole = frozenset(candidates)
        scores = self._score([(one, whole) for one in prompts]) if whole else np.ones(len(prompts))
        self._known = {
            one.id: _Known(
                pool=list(candidates),
                rounds=0 if answers(float(score)) or not whole else rounds[one.id],
                flips=answers(float(score)),
            )
            for one, score in zip(prompts, scores, strict=True)
        }

    @property
    def sets(self) -> tuple[SearchedSet, ...]:
        in_text = self._complied is not None
        return tuple(known.as_finding(key, in_text=in_text) for key, known in self._known.items())

    @property
    def _decided(self) -> bool:
        return not self._to_the_end and not does_as_well(self._own, self.sets)

    def run(self, ordered: Sequence[Prompt]) -> None:
        """Search the prompts in this order, until it is certain that the dictionary does worse."""
        first, others = (ordered, []) if self._to_the_end else (ordered[:1], ordered[1:])
        self._search_together(first)
        self._hold(first, first=True)
        self._in_turn(others, self._search_together)
        # The first once more, if its search was ended and that is not enough.
        if self._complied is None:
            self._hold(ordered)
        else:
            self._in_turn(ordered, self._hold)

    def _in_turn(self, prompts: Sequence[Prompt], step: Callable[[Sequence[Prompt]], None]) -> None:
        """Take the step for as many prompts together as may decide, until it is certain."""
        start = 0
        while start < len(prompts) and not self._decided:
            n = self._n_together()
            step(prompts[start : start + n])
            start += n

    def _n_together(self) -> int:
        """Number of further prompts that decide if their sets are as large as that of the first."""
        sizes = {one.prompt_id: math.log(one.size) for one in self.sets}
        own = [math.log(one.size) for one in self._own]
        typical = float(np.mean([sizes[key] for key, one in self._known.items() if one.searched]))
        left = sum(own) - sum(sizes.values())
        return max(1, math.ceil(left / typical + _ROUNDING)) if typical else len(own)

    def _search_together(self, prompts: Sequence[Prompt]) -> None:
        orders: dict[str, list[list[FeatureId]]] = {}
        for prompt in prompts:
            known = self._known[prompt.id]
            self._widen(prompt, known)
            if known.flips:
                known.orders = self._null.search_orders(prompt, known.pool)
                orders[prompt.id] = known.orders
        found: dict[str, MinimalSet] = {}
        answered_together(
            {key: minimal_set(key, own, self._null.config.minimal) for key, own in orders.items()},
            lambda asked: self._score([(self._prompts[key], one) for key, one in asked]),
            done=found.__setitem__,
        )
        for key, one in found.items():
            self._known[key].found = one
            self._known[key].at_least = max(len(one.features), 1)

    def _widen(self, prompt: Prompt, known: _Known) -> None:
        if not known.rounds:
            return
        wider = widened_pool(self._null, prompt, frozenset(known.pool), rounds=known.rounds)
        known.pool += [feature for one in wider.added for feature in one]
        known.rounds, known.flips = 0, answers(wider.scores[-1])

    def _hold(self, prompts: Sequence[Prompt], *, first: bool = False) -> None:
        """Hold the sets found to the limits and have answers under them judged, until it is certain; the
        limits of the first whatever is certain."""
        if self._decided and not first:
            return
        self._within_limits(prompts, first=first)
        self._in_text(prompts)

    def _within_limits(self, prompts: Sequence[Prompt], *, first: bool) -> None:
        # All together first: they share batches, and each search begins with its own.
        sets = [frozenset(one.features) for prompt in prompts if (one := self._left(prompt))]
        if sets:
            self._changes = self._changes or HarmlessChanges(self._null)
            self._changes.limits.beyond(sets)
        for prompt in prompts:
            self._known[prompt.id].searched = True
            if (found := self._left(prompt)) and self._changes is not None:
                self._limit(prompt, found, self._changes, first=first)
            if self._decided:
                return

    def _left(self, prompt: Prompt) -> MinimalSet | None:
        """The prompt's set without limits if it was not held to them yet."""
        known = self._known[prompt.id]
        return known.found if known.limited is None else None

    def _limit(
        self, prompt: Prompt, found: MinimalSet, changes: HarmlessChanges, *, first: bool
    ) -> None:
        known = self._known[prompt.id]
        briefly = first and not self._to_the_end
        beyond = frozenset[FeatureId]()
        if not briefly and not changes.limits.hold(frozenset(found.features)):
            beyond = changes.far_beyond_alone(known.orders[0])
        limited, _ = answered(
            limited_set(
                found,
                known.orders,
                self._null.config.minimal,
                changes.limits,
                beyond=beyond,
                most=math.inf if self._to_the_end else self._largest(prompt.id, first=first),
                most_given_up=_GIVEN_UP if briefly else math.inf,
            ),
            self._null.score_of(prompt),
        )
        known.at_least = max(known.at_least, limited.largest_given_up)
        own = frozenset(limited.features)
        # If the search was ended, the size is a bound.
        if not limited.flipped or changes.limits.hold(own):
            known.limited = limited
            known.kl = float(changes.means([own])[0, 0]) if limited.flipped else None

    def _largest(self, key: str, *, first: bool) -> float:
        """Largest size of this prompt's set with which the dictionary may still do as well, if no other
        is larger than is known; for the first prompt no less than what makes the difference plain."""
        logs = [math.log(one.size) for one in self._own]
        others = sum(math.log(one.size) for one in self.sets if one.prompt_id != key)
        found = math.exp(sum(logs) - others) + _ROUNDING
        return max(found, _PLAINLY * math.exp(np.mean(logs))) if first else found

    def _in_text(self, prompts: Sequence[Prompt]) -> None:
        flipped = {
            prompt.id: (known, known.limited)
            for prompt in prompts
            if (known := self._known[prompt.id]).limited is not None
            and known.limited.flipped
            and known.text is None
        }
        if self._complied is None or not flipped or self._decided:
            return
        assert self._changes is not None, "limits hold of sets that were not measured"
        readings = Readings(self._score, self._complied)
        found: dict[str, TextSet] = {}
        budget = self._null.config.minimal.texts_budget
        answered_together(
            {
                key: text_set(limited, known.orders[-1], self._changes.limits, budget=budget)
                for key, (known, limited) in flipped.items()
            },
            lambda asked: readings([(self._prompts[key], one) for key, one in asked]),
            done=found.__setitem__,
        )
        for key, (known, limited) in flipped.items():
            known.text = found[key]
            known.at_least = max(known.at_least, len(limited.features))
            if found[key].flipped:
                known.kl = float(self._changes.means([frozenset(found[key].features)])[0, 0])
