"""What the stages of one run share: the subject, the record, and how far along they are."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from sae_audit.config import AuditConfig
from sae_audit.prompts.types import Prompt
from sae_audit.record.store import Store
from sae_audit.subject import Subject
from sae_audit.subject.cost import CostMeter
from sae_audit.vocabulary import Ablation, Score

T = TypeVar("T")


@runtime_checkable
class Progress(Protocol):
    """Told after each piece of work; a stage begins with `done=0`."""

    def __call__(self, stage: str, done: int, total: int, /) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Session:
    subject: Subject
    config: AuditConfig
    store: Store
    folder: Path
    progress: Progress

    def remember(self, stage: str, key: str, kind: Any, compute: Callable[[], T]) -> T:
        """The recorded result of this work, or do it now and record it with its cost."""
        found: T | None = self.store.get(stage, key, kind)
        if found is not None:
            return found
        cost, started = self.subject.cost, time.perf_counter()
        value = compute()
        self.keep(stage, key, kind, value, since=cost, seconds=time.perf_counter() - started)
        return value

    def keep(
        self, stage: str, key: str, kind: Any, value: Any, *, since: CostMeter, seconds: float
    ) -> None:
        """Record a result with what was spent after `since`; one recorded before stays."""
        if self.store.get(stage, key, kind) is not None:
            return
        spent = self.subject.cost.since(since)
        self.store.put(
            stage,
            key,
            kind,
            value,
            forward_passes=spent.forward_passes,
            tokens=spent.tokens,
            seconds=seconds,
        )

    def remember_each(
        self, stage: str, kind: Any, prompts: list[Prompt], compute: Callable[[Prompt], T]
    ) -> list[T]:
        """The same for every prompt, telling progress."""
        results: list[T] = []
        self.progress(stage, 0, len(prompts))
        for prompt in prompts:
            results.append(self.remember(stage, prompt.id, kind, lambda p=prompt: compute(p)))
            self.progress(stage, len(results), len(prompts))
        return results

    def score_of(self, prompt: Prompt, ablation: Ablation | None = None, **options: Any) -> Score:
        return self.subject.refusal_score(prompt, ablation or self.config.ablation, **options)
