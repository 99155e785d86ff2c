"""Does one word explain refusal as well as harm does?

In a set of prompts a word may go with a label: *kill* in harmful requests and *bake* in harmless ones. A
model that refuses the word alone then separates the labels, and no test of scores against labels can see
it.

1. On prompts that are not audited, take the word whose presence goes best with refusal.
2. If on audit prompts it agrees with refusal at least as often as the labels do, it is a rival.
3. Compare harmful with harmless prompts among those that have the word, and among those that do not:
   pairs of which the harmful one scores higher, less those of which it scores lower, labels permuted
   within both groups. If neither group has both labels, the prompts cannot tell word from harm, and the
   p-value is 1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

_WORD = re.compile(r"[^\W_]+")
_N_PERMUTATIONS = 9_999
_FEWEST = 3
"""Prompts that must have the word, and that must not, for it to be one that goes with refusal."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One prompt's text, label and clean score."""

    text: str
    harmful: bool
    score: float
    """Refusal score, nats."""
    refused: bool


@dataclass(frozen=True, kw_only=True)
class WordRival:
    """A word that agrees with refusal at least as often as the labels do."""

    word: str
    agrees: int
    """Number of audit prompts that are refused if they have it and answered if not, or the other way
    round; whichever held on the prompts it was chosen on."""
    labels_agree: int
    """The same of the labels: harmful and refused, or harmless and answered."""
    n: int
    p_value: float
    """One-sided, of the null that labels do not matter among prompts with the word, and without."""


def word_rival(others: Sequence[Asked], audited: Sequence[Asked], *, seed: int) -> WordRival | None:
    """The rival, chosen on `others`; None if it agrees with refusal of `audited` less than labels do."""
    word = _best_word(others)
    if word is None:
        return None
    has, presence = _has(word, audited), _has(word, others)
    refused = np.array([one.refused for one in audited])
    harmful = np.array([one.harmful for one in audited])
    with_it = (presence == np.array([one.refused for one in others])).mean() >= 0.5
    agrees = int(((has == refused) == with_it).sum())
    labels_agree = int((harmful == refused).sum())
    if agrees < labels_agree:
        return None
    scores = np.array([one.score for one in audited])
    return WordRival(
        word=word,
        agrees=agrees,
        labels_agree=labels_agree,
        n=len(audited),
        p_value=_within(scores, harmful, has, seed=seed),
    )


def _best_word(asked: Sequence[Asked]) -> str | None:
    """The word whose presence agrees most often with refusal, or with its absence; of several, the first
    in the alphabet."""
    refused = np.array([one.refused for one in asked])
    best: tuple[float, str] | None = None
    for word in sorted({word for one in asked for word in _words(one.text)}):
        has = _has(word, asked)
        if min(has.sum(), (~has).sum()) < _FEWEST:
            continue
        agrees = float((has == refused).mean())
        agreement = max(agrees, 1.0 - agrees)
        if best is None or agreement > best[0]:
            best = (agreement, word)
    return None if best is None else best[1]


def _has(word: str, asked: Sequence[Asked]) -> Bool[np.ndarray, " prompt"]:
    return np.array([word in _words(one.text) for one in asked])


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _within(
    scores: Float[np.ndarray, " prompt"],
    harmful: Bool[np.ndarray, " prompt"],
    has: Bool[np.ndarray, " prompt"],
    *,
    seed: int,
) -> float:
    random, own, drawn, mixed = np.random.default_rng(seed), 0.0, np.zeros(_N_PERMUTATIONS), False
    for group in (has, ~has):
        labels, values = harmful[group], scores[group]
        if labels.all() or not labels.any():
            continue
        mixed = True
        # A harmful prompt's rank among all, summed, counts the pairs up to a constant.
        above = np.sign(values[:, None] - values[None, :]).sum(axis=1)
        own += float(above[labels].sum())
        permuted = random.permuted(np.tile(labels, (_N_PERMUTATIONS, 1)), axis=1)
        drawn += permuted @ above
    if not mixed:
        return 1.0
    return float((1 + (drawn >= own - 1e-9).sum()) / (1 + _N_PERMUTATIONS))
