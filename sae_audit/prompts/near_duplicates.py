"""Prompts that say the same in nearly the same words, found exactly.

Two texts are near-duplicates if the Jaccard similarity of their word 3-shingles is at least 0.7:
words without case and punctuation, and the text framed by two marks on either side, so that its
first and last words count as much as any other. One word exchanged then makes a near-duplicate of
texts of 15 words or more, one word added of 12 or more. Shorter requests that share all but a word
("What is the best way to open a tin?", "... a door?") are different requests: in sets made from
templates nearly all pairs are like that.

Threshold and shingles hold for each pair by itself: whether two prompts are near-duplicates does
not depend on what else is in the pool.
"""

import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from sae_audit.errors import AuditError
from sae_audit.prompts.types import Label, Prompt, folded

SIMILARITY = 0.7
_NUMERATOR, _DENOMINATOR = 7, 10
"""The same as whole numbers: comparisons are exact."""
_MOST_WORDS = 1 << 21
"""Different words: three of them make one number of 63 bits."""
_MOST_SHINGLES = 30_000_000
"""Of all texts of a label; some 2 GB while they are numbered."""
_MOST_COMPARED = 20_000_000_000
"""About two minutes. Texts from templates, alike in three quarters, need comparing pair by pair."""
_FEWER = "take fewer, with a limit where they are named (?limit=N)"

# Scripts without spaces (Thai, kana, Han) have no words to see: each of their characters is one.
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
    """Ids of prompts to leave out, each with the id of that which it nearly repeats.

    Of prompts with the same label, in the order of their ids, one is left out if it is a
    near-duplicate of one that stays. So no two that stay are near-duplicates, and chains of ever
    different texts do not fall together. Harmful and harmless ones never leave each other out:
    contrast pairs differ in a word, and are wanted.
    """
    repeats: dict[str, str] = {}
    for label in Label:
        alike = sorted((p for p in prompts if p.label == label), key=lambda prompt: prompt.id)
        repeats.update(_repeats(alike))
    return repeats


def _repeats(prompts: Sequence[Prompt]) -> dict[str, str]:
    """Prefix filtering: two sets this alike share one of the few rarest shingles of each."""
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
    """The shingles of many texts as numbers, the rarest of all texts the lowest.

    Raises:
        AuditError: more words or shingles than fit into memory.
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
        """Ranks below this stand in one text only."""
        self.n_shared = np.empty(len(coded), dtype=np.int64)
        """Of each text, the shingles that some other text has, too."""
        for i in range(len(coded)):
            own = self.of(i)
            own.sort()
            self.n_shared[i] = len(own) - np.searchsorted(own, self.n_alone)

    def of(self, i: int) -> np.ndarray:
        """The rarest first."""
        return self.flat[self.starts[i] : self.starts[i + 1]]


class _Kept:
    """The texts that stay, and where each of their rarest shingles is found."""

    def __init__(self, sets: _Numbered) -> None:
        self._sets = sets
        self._with: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self._is_own = np.zeros(sets.n_ranks, dtype=bool)
        self.n_compared = 0
        """Numbers looked at so far: what the time goes with."""

    def add(self, i: int) -> None:
        for rank in self._prefix(i):
            self._with[int(rank)].append(i)

    def first_alike(self, i: int) -> int | None:
        """The first text kept that nearly repeats this one."""
        places = [self._with[int(rank)] for rank in self._prefix(i) if int(rank) in self._with]
        self.n_compared += sum(map(len, places))
        possible = [self._possible(i, np.frombuffer(each, dtype=np.int64)) for each in places]
        candidates = np.unique(np.concatenate(possible)) if possible else np.empty(0, np.int64)
        # The first may be it: looked at few at first, then ever more.
        start, n = 0, 8
        while start < len(candidates):
            some = candidates[start : start + n]
            alike = some[self._are_alike(i, some)]
            if len(alike):
                return int(alike[0])
            start, n = start + n, min(4 * n, 4096)
        return None

    def _prefix(self, i: int) -> np.ndarray:
        """Of the rarest shingles, one of which a near-duplicate shares, those that any text shares."""
        own = self._sets.of(i)
        prefix = own[: len(own) - _least_shared(len(own)) + 1]
        return prefix[prefix >= self._sets.n_alone]

    def _possible(self, i: int, others: np.ndarray) -> np.ndarray:
        """Those whose sizes, and numbers of shingles that are not theirs alone, allow it."""
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
    """Shingles that a set of n must share with any near-duplicate of it."""
    return -(-_NUMERATOR * n // _DENOMINATOR)


def _alike(one: frozenset[Shingle], other: frozenset[Shingle]) -> bool:
    return bool(_is_enough(len(one & other), len(one) + len(other)))


def _is_enough(n_shared: Any, n_both: Any) -> Any:
    """Whether sets of so many shingles in sum, so many of them shared, are near-duplicates."""
    return _DENOMINATOR * n_shared >= _NUMERATOR * (n_both - n_shared)


def n_left_out(prompts: Sequence[Prompt], repeats: dict[str, str]) -> dict[str, int]:
    """Near-duplicates by label."""
    return {
        label.value: sum(p.label == label and p.id in repeats for p in prompts) for label in Label
    }
