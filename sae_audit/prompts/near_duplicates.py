"""Near-duplicate prompts, found exactly.

Two texts are near-duplicates if the Jaccard similarity of their word 3-shingles is at least 0.7. Words
are compared without case and punctuation; two marks frame each end of the text, so that its first and
last words count as much as others. Thus one exchanged word leaves near-duplicates in texts of at least
15 words, one added word in texts of at least 12. Shorter requests that share all but a word ("What is
the best way to open a tin?", "... a door?") are different requests: in sets made from templates nearly
all pairs are like that. The result for a pair does not depend on the rest of the pool.
"""

import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from sae_audit.errors import AuditError
from sae_audit.prompts.types import CONTRASTED, Label, Prompt, folded

SIMILARITY = 0.7
_NUMERATOR, _DENOMINATOR = 7, 10
"""The threshold as whole numbers, which makes comparisons exact."""
_MOST_WORDS = 1 << 21
"""Distinct words, the limit: three of them make one number of 63 bits."""
_MOST_SHINGLES = 30_000_000
"""Shingles of all texts of a label, the limit; numbering them takes about 2 GB."""
_MOST_COMPARED = 20_000_000_000
"""Comparisons, the limit: about two minutes. Template texts alike in three quarters need many."""
_FEWER = "take fewer, with a limit where they are named (?limit=N)"

# In scripts without spaces (Thai, kana, Han), each character counts as a word.
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u9fff]|[^\W\u0e00-\u0e7f\u3040-\u9fff]+")

Shingle = tuple[str, str, str]


def words(text: str) -> tuple[str, ...]:
    """A text's words without case and punctuation; a text without words counts as one."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return tuple(_WORD.findall(plain)) or (folded(text),)


def shingles(text: str) -> frozenset[Shingle]:
    framed = ("", "", *words(text), "", "")
    return frozenset(zip(framed, framed[1:], framed[2:], strict=False))


def are_near_duplicates(one: str, other: str) -> bool:
    return _alike(shingles(one), shingles(other))


def near_duplicates(prompts: Sequence[Prompt]) -> dict[str, str]:
    """Ids of prompts to leave out, each with the id of the prompt it nearly repeats.

    Among prompts with the same label, in the order of ids, one is left out if it is a near-duplicate of
    a kept one. So no two kept ones are near-duplicates, and chains of increasingly different texts are
    not merged. Labels are treated separately: contrast pairs differ in a word, and are wanted. Only a
    look-alike that nearly repeats a harmless prompt is left out too, since means and limits may rest on
    that one; harmless prompts are the same with look-alikes and without.
    """
    repeats: dict[str, str] = {}
    for label in CONTRASTED:
        repeats.update(_repeats(_in_order(prompts, label)))
    lookalikes = _in_order(prompts, Label.LOOKALIKE)
    if lookalikes:
        harmless = [p for p in _in_order(prompts, Label.HARMLESS) if p.id not in repeats]
        repeats.update(_repeats([*harmless, *lookalikes]))
    return repeats


def _in_order(prompts: Sequence[Prompt], label: Label) -> list[Prompt]:
    return sorted((p for p in prompts if p.label == label), key=lambda prompt: prompt.id)


def _repeats(prompts: Sequence[Prompt]) -> dict[str, str]:
    """Near-duplicates by prefix filtering: two similar sets share one of each one's rarest shingles."""
    if not prompts:
        return {}
    sets = _Numbered(prompts)
    kept = _Kept(sets)
    repeats: dict[str, str] = {}
    for i, prompt in enumerate(prompts):
        found = kept.first_alike(i)
        if found is None:
            kept.add(i)
        else:
            repeats[prompt.id] = prompts[found].id
        if kept.n_compared > _MOST_COMPARED:
            raise AuditError(
                f"{len(prompts):,} {prompt.label.value} prompts are so alike in parts that comparing "
                f"them for near-duplicates takes too long; {_FEWER}."
            )
    return repeats


class _Numbered:
    """The shingles of many texts as numbers, the rarest the lowest.

    Raises:
        AuditError: There are more words or shingles than fit into memory.
    """

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        numbers: dict[str, int] = {"": 0}
        coded: list[np.ndarray] = []
        n_shingles = 0
        for prompt in prompts:
            found = [numbers.setdefault(word, len(numbers)) for word in words(prompt.text)]
            framed = np.array([0, 0, *found, 0, 0], dtype=np.int64)
            each = np.unique(framed[:-2] << 42 | framed[1:-1] << 21 | framed[2:])
            n_shingles += len(each)
            if len(numbers) > _MOST_WORDS or n_shingles > _MOST_SHINGLES:
                raise AuditError(
                    f"The {len(prompts):,} {prompt.label.value} prompts hold too many words to be "
                    f"compared for near-duplicates; {_FEWER}."
                )
            coded.append(each)
        self.sizes = np.array([len(each) for each in coded])
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        _, inverse, counts = np.unique(
            np.concatenate(coded), return_inverse=True, return_counts=True
        )
        order = np.argsort(counts, kind="stable")
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        self.flat = rank[inverse]
        self.n_ranks = len(rank)
        self.n_alone = int((counts == 1).sum())
        """Number of shingles that occur in one text only; they have the lowest ranks."""
        self.n_shared = np.empty(len(coded), dtype=np.int64)
        """For each text, the number of shingles that occur in another text."""
        for i in range(len(coded)):
            own = self.of(i)
            own.sort()
            self.n_shared[i] = len(own) - np.searchsorted(own, self.n_alone)

    def of(self, i: int) -> np.ndarray:
        """The shingles of text `i`, the rarest first."""
        return self.flat[self.starts[i] : self.starts[i + 1]]


class _Kept:
    """The kept texts, indexed by their rarest shingles."""

    def __init__(self, sets: _Numbered) -> None:
        self._sets = sets
        self._with: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self._is_own = np.zeros(sets.n_ranks, dtype=bool)
        self.n_compared = 0
        """Numbers compared so far, proportional to the time."""

    def add(self, i: int) -> None:
        for rank in self._prefix(i):
            self._with[int(rank)].append(i)

    def first_alike(self, i: int) -> int | None:
        """The first kept text that nearly repeats text `i`."""
        sharing = [self._with[int(rank)] for rank in self._prefix(i) if int(rank) in self._with]
        self.n_compared += sum(map(len, sharing))
        possible = [self._possible(i, np.frombuffer(each, dtype=np.int64)) for each in sharing]
        candidates = np.unique(np.concatenate(possible)) if possible else np.empty(0, np.int64)
        # The first may match, so blocks are small at first, then grow.
        start, n = 0, 8
        while start < len(candidates):
            some = candidates[start : start + n]
            alike = some[self._are_alike(i, some)]
            if len(alike):
                return int(alike[0])
            start, n = start + n, min(4 * n, 4096)
        return None

    def _prefix(self, i: int) -> np.ndarray:
        """The rarest shingles, one of which a near-duplicate must share, without those unique to `i`."""
        own = self._sets.of(i)
        prefix = own[: len(own) - _least_shared(len(own)) + 1]
        return prefix[prefix >= self._sets.n_alone]

    def _possible(self, i: int, others: np.ndarray) -> np.ndarray:
        """Those of `others` that remain possible by their sizes and numbers of shared shingles."""
        n_both = self._sets.sizes[others] + self._sets.sizes[i]
        most_shared = np.minimum(self._sets.n_shared[others], self._sets.n_shared[i])
        return others[_is_enough(most_shared, n_both)]

    def _are_alike(self, i: int, others: np.ndarray) -> np.ndarray:
        own, sizes, starts = self._sets.of(i), self._sets.sizes[others], self._sets.starts[others]
        ends = np.cumsum(sizes)
        within = np.arange(ends[-1]) + np.repeat(starts - (ends - sizes), sizes)
        self.n_compared += len(within)
        self._is_own[own] = True
        shared = np.add.reduceat(
            self._is_own[self._sets.flat[within]], ends - sizes, dtype=np.int64
        )
        self._is_own[own] = False
        return _is_enough(shared, sizes + len(own))


def _least_shared(n: int) -> int:
    """Minimum number of shingles that a set of n shares with any near-duplicate."""
    return -(-_NUMERATOR * n // _DENOMINATOR)


def _alike(one: frozenset[Shingle], other: frozenset[Shingle]) -> bool:
    return bool(_is_enough(len(one & other), len(one) + len(other)))


def _is_enough(n_shared: Any, n_both: Any) -> Any:
    """Whether two sets with `n_both` shingles in sum and `n_shared` in common are near-duplicates."""
    return _DENOMINATOR * n_shared >= _NUMERATOR * (n_both - n_shared)


def n_left_out(prompts: Sequence[Prompt], repeats: dict[str, str]) -> dict[str, int]:
    """Number of near-duplicates by label."""
    return {
        label.value: sum(p.label == label and p.id in repeats for p in prompts) for label in Label
    }
