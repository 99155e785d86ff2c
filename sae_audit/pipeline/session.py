"""Work done once: recorded with its cost, read back if recorded, its progress reported."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, cast, runtime_checkable

import numpy as np
from jaxtyping import Float

from sae_audit.config import AuditConfig
from sae_audit.findings.stages import POOLED, OfDictionaries, OfMany, OfPrompts, OfRun, Stage, Step
from sae_audit.minimal.asking import Q, Scores, answered_together
from sae_audit.prompts.types import Prompt
from sae_audit.record.store import Row, Spent, Store
from sae_audit.subject import Subject
from sae_audit.subject.model.cost import CostMeter

T = TypeVar("T")

_TOGETHER = 16
"""Number of prompts whose searches advance and are recorded together: enough to fill a batch, few
enough to repeat after a kill."""


TOKENS_PER_BATCH = "tokens_per_batch"
"""Name of a run's fact: how many tokens share a pass."""


@runtime_checkable
class Progress(Protocol):
    """Called after each piece of work; a step begins with `done=0`."""

    def __call__(self, step: Step, done: int, total: int, /) -> None: ...


def silent(step: Step, done: int, total: int) -> None:
    """Do nothing: progress that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run of an audit: the model, the record, and the findings so far."""

    subject: Subject
    config: AuditConfig
    store: Store
    folder: Path
    progress: Progress
    _found: dict[tuple[str, str], object] = field(default_factory=dict)

    def found(self, stage: OfRun[T]) -> T:
        """The finding of a stage that has run."""
        return cast(T, self._found[stage.name, stage.key])

    def if_found(self, stage: OfRun[T]) -> T | None:
        """The finding of a stage; None if it has not run, or had nothing to look for."""
        return cast("T | None", self._found.get((stage.name, stage.key)))

    def found_each(self, stage: OfMany[T]) -> list[T]:
        """The findings of a stage by prompt; empty if it has not run."""
        return [cast(T, one) for (name, key), one in self._found.items() if _is(stage, name, key)]

    def found_pooled(self, stage: OfPrompts[T]) -> T | None:
        """The finding of such a stage over several prompts at once; None if there is none."""
        return cast("T | None", self._found.get((stage.name, POOLED)))

    def remember(self, stage: OfRun[T], compute: Callable[[], T], *, in_parts: bool = False) -> T:
        """The finding of a stage: read back, or computed now and recorded with its cost.

        If it is computed `in_parts`, `compute` reports progress itself.
        """
        found = self.store.get(stage, stage.key)
        if found is None:
            if not in_parts:
                self.progress(stage, 0, 1)
            found = self._computed(stage, stage.key, compute)
            if not in_parts:
                self.progress(stage, 1, 1)
        self.note(stage, stage.key, found)
        return found

    def note(self, stage: Stage[T], key: str, value: T) -> None:
        """Set the finding of a stage for this session."""
        self._found[stage.name, key] = value

    def remember_pooled(self, stage: OfPrompts[T], compute: Callable[[], T]) -> T:
        """`remember` for the finding of such a stage over several prompts at once."""
        found = self.store.get(stage, POOLED)
        if found is None:
            found = self._computed(stage, POOLED, compute)
        self.note(stage, POOLED, found)
        return found

    def _computed(self, stage: Stage[T], key: str, compute: Callable[[], T]) -> T:
        self.store.check_there()
        self.subject.begin_account()
        cost, started = self.subject.cost, time.perf_counter()
        value = compute()
        self.keep(stage, key, value, since=cost, seconds=time.perf_counter() - started)
        return value

    def keep(
        self, stage: Stage[T], key: str, value: T, *, since: CostMeter, seconds: float
    ) -> None:
        """Record a result with the cost since `since`."""
        spent = self.subject.cost.since(since)
        bill = Spent(forward_passes=spent.forward_passes, tokens=spent.tokens, seconds=seconds)
        self._put(Row(stage=stage, key=key, value=value, spent=bill))

    def _put(self, *rows: Row[T]) -> None:
        # A resumed run uses batches of the same size, so that its numbers are rounded alike.
        self.store.put_all(rows, facts={TOKENS_PER_BATCH: str(self.subject.tokens_per_batch)})

    def remember_each(
        self, stage: OfPrompts[T], prompts: list[Prompt], compute: Callable[[Prompt], T]
    ) -> list[T]:
        """`remember` for every prompt, with progress."""
        by_id = {prompt.id: prompt for prompt in prompts}
        return self._remember_rows(stage, list(by_id), lambda key: compute(by_id[key]))

    def remember_dictionaries(
        self,
        stage: OfDictionaries[T],
        keys: Sequence[str],
        compute: Callable[[str], T],
        *,
        spared: Callable[[str, Sequence[T]], bool],
    ) -> list[T]:
        """`remember` for null dictionaries, by their keys, with progress; those are left out that are
        `spared` by what was found before them."""
        return self._remember_rows(stage, keys, compute, spared)

    def _remember_rows(
        self,
        stage: OfMany[T],
        keys: Sequence[str],
        compute: Callable[[str], T],
        spared: Callable[[str, Sequence[T]], bool] = lambda _key, _found: False,
    ) -> list[T]:
        results: list[T] = []
        self.progress(stage, 0, len(keys))
        for number, key in enumerate(keys):
            if spared(key, results):
                self.progress(stage, number + 1, len(keys))
                continue
            found = self.store.get(stage, key)
            if found is None:
                found = self._computed(stage, key, lambda k=key: compute(k))
            self.note(stage, key, found)
            results.append(found)
            self.progress(stage, number + 1, len(keys))
        return results

    def remember_together(
        self,
        stage: OfPrompts[T],
        prompts: list[Prompt],
        begin: Callable[[Prompt], Generator[Sequence[Q], Scores, T]],
        scores: Callable[
            [], Callable[[Sequence[tuple[Prompt, Q]]], Float[np.ndarray, "question ..."]]
        ],
    ) -> list[T]:
        """`remember_each` for searches that ask in rounds, several prompts sharing batches.

        `scores` answers them. The order of prompts alone decides which search together, and they are
        recorded together, each with its share of the rounds' cost: so batches, and with them the
        rounding of scores, do not depend on where a run was stopped.
        """
        found: dict[str, T] = {}
        self.progress(stage, 0, len(prompts))
        for start in range(0, len(prompts), _TOGETHER):
            group = prompts[start : start + _TOGETHER]
            kept = {prompt.id: self.store.get(stage, prompt.id) for prompt in group}
            recorded = {key: one for key, one in kept.items() if one is not None}
            if len(recorded) < len(group):
                recorded = self._searched(
                    stage,
                    group,
                    begin,
                    scores(),
                    lambda n, start=start: self.progress(stage, start + n, len(prompts)),
                )
            found |= recorded
            self.progress(stage, len(found), len(prompts))
        for prompt in prompts:
            self.note(stage, prompt.id, found[prompt.id])
        return [found[prompt.id] for prompt in prompts]

    def _searched(
        self,
        stage: OfPrompts[T],
        group: list[Prompt],
        begin: Callable[[Prompt], Generator[Sequence[Q], Scores, T]],
        score: Callable[[Sequence[tuple[Prompt, Q]]], Float[np.ndarray, "question ..."]],
        progress: Callable[[int], None],
    ) -> dict[str, T]:
        self.store.check_there()
        self.subject.begin_account()
        bill, found = _Bill(self.subject), {}
        searches: dict[str, Generator[Sequence[Q], Scores, T]] = {}
        for prompt in group:
            searches[prompt.id] = begin(prompt)
            bill.settle({prompt.id: 1})
        by_id = {prompt.id: prompt for prompt in group}

        def done(prompt_id: str, value: T) -> None:
            found[prompt_id] = value
            progress(len(found))

        answered_together(
            searches,
            lambda questions: score([(by_id[key], asked) for key, asked in questions]),
            done=done,
            asked=bill.settle,
        )
        self._put(
            *(Row(stage=stage, key=key, value=found[key], spent=bill.of(key)) for key in by_id)
        )
        return found


def _is(stage: Stage[object], name: str, key: str) -> bool:
    return name == stage.name and key != POOLED


class _Bill:
    """The cost of rounds of shared passes, split among the prompts by sets asked."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._cost, self._at = subject.cost, time.perf_counter()
        self._owed: dict[str, tuple[float, float, float]] = {}

    def settle(self, asked: Mapping[str, int]) -> None:
        spent, now = self._subject.cost.since(self._cost), time.perf_counter()
        total = sum(asked.values())
        for key, n in asked.items():
            passes, tokens, seconds = self._owed.get(key, (0.0, 0.0, 0.0))
            share = n / total
            self._owed[key] = (
                passes + share * spent.forward_passes,
                tokens + share * spent.tokens,
                seconds + share * (now - self._at),
            )
        self._cost, self._at = self._subject.cost, now

    def of(self, key: str) -> Spent:
        passes, tokens, seconds = self._owed.get(key, (0.0, 0.0, 0.0))
        return Spent(forward_passes=round(passes), tokens=round(tokens), seconds=seconds)
