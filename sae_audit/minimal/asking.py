"""Searches that ask in rounds, so that many of them share batches.

A search is a generator that yields the sets to score next and is sent their scores; it never sees a
model or other prompts.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from sae_audit.vocabulary import FeatureSet, Scaled, Score

T = TypeVar("T")
K = TypeVar("K")
Q = TypeVar("Q", FeatureSet, Scaled)

Scores = Float[np.ndarray, " set"]
Asking = Generator[Sequence[FeatureSet], Scores, T]
"""Yields feature sets, receives their refusal scores (nats), returns a result."""
AskingScales = Generator[Sequence[Scaled], Scores, T]
"""The same for sets that are each ablated by a scale."""


def answered(asking: Asking[T], score: Score) -> tuple[T, int]:
    """The result of one search, and the number of sets it asked about."""
    n_asked = 0
    try:
        sets = next(asking)
        while True:
            n_asked += len(sets)
            sets = asking.send(score(sets))
    except StopIteration as end:
        return end.value, n_asked


def in_step(askings: Sequence[Asking[T]]) -> Asking[list[tuple[T, int]]]:
    """The results of several searches, each with the number of sets it asked about; a round asks for one
    round of each."""
    results: dict[int, tuple[T, int]] = {}
    n_asked = [0] * len(askings)
    waiting: dict[int, Sequence[FeatureSet]] = {}

    def advance(i: int, scores: Scores | None) -> None:
        try:
            waiting[i] = next(askings[i]) if scores is None else askings[i].send(scores)
            n_asked[i] += len(waiting[i])
        except StopIteration as end:
            waiting.pop(i, None)
            results[i] = (end.value, n_asked[i])

    for i in range(len(askings)):
        advance(i, None)
    while waiting:
        scores = yield [one for sets in waiting.values() for one in sets]
        start = 0
        for i, sets in list(waiting.items()):
            advance(i, scores[start : start + len(sets)])
            start += len(sets)
    return [results[i] for i in range(len(askings))]


def answered_together(
    askings: Mapping[K, Generator[Sequence[Q], Scores, T]],
    score: Callable[[Sequence[tuple[K, Q]]], Float[np.ndarray, "question ..."]],
    *,
    done: Callable[[K, T], None],
    asked: Callable[[Mapping[K, int]], None] = lambda _: None,
) -> None:
    """Answer many searches in step: each call of `score` answers one round of all of them.

    `done` receives each result once it is there, `asked` each search's number of sets after every round.
    """
    waiting: dict[K, Sequence[Q]] = {}
    for key, asking in askings.items():
        _advance(key, lambda asking=asking: next(asking), waiting, done)
    while waiting:
        questions = [(key, ablated) for key, sets in waiting.items() for ablated in sets]
        scores = score(questions)
        asked({key: len(sets) for key, sets in waiting.items()})
        start = 0
        for key, sets in list(waiting.items()):
            own = scores[start : start + len(sets)]
            start += len(sets)
            _advance(key, lambda key=key, own=own: askings[key].send(own), waiting, done)


def _advance(
    key: K,
    step: Callable[[], Sequence[Q]],
    waiting: dict[K, Sequence[Q]],
    done: Callable[[K, T], None],
) -> None:
    try:
        waiting[key] = step()
    except StopIteration as end:
        waiting.pop(key, None)
        done(key, end.value)
