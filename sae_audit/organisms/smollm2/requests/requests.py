"""All requests, and an endless sample of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sae_audit.organisms.smollm2.requests.phrases import audits_alone, phrases
from sae_audit.organisms.smollm2.requests.phrasings import dealt, phrased, phrasings
from sae_audit.organisms.smollm2.requests.types import Form, Kind, Phrase, Request, Split


def requests(seed: int = 0) -> list[Request]:
    """Every phrase once, each in a phrasing that the seed deals it, in a fixed order."""
    return [dealt(phrase, seed) for phrase in phrases()]


def for_audits(seed: int = 0) -> list[Request]:
    """The requests among them that are for audits, and those that audits alone have."""
    held_out = [one for one in requests(seed) if one.split is Split.AUDIT]
    return held_out + [dealt(phrase, seed) for phrase in audits_alone()]


def spread(among: Sequence[Request], most: int) -> list[Request]:
    """At most so many of the requests, evenly spaced: of all topics that they are sorted by."""
    n = min(most, len(among))
    return [among[i * len(among) // n] for i in range(n)]


def samples(
    seed: int, *, split: Split = Split.TRAIN, kinds: frozenset[Kind] = frozenset(Kind)
) -> Iterator[Request]:
    """Endless requests of a split, in random phrasings; with all kinds half are to be refused.

    Actions are as frequent as tasks and questions together. Refused and answered requests are equally
    frequent in every form, then kinds, then topics: so neither form nor phrasing tells the treatment.
    """
    random = np.random.default_rng(seed)
    tree: dict[Any, Any] = {}
    for phrase in phrases():
        if phrase.kind in kinds and phrase.split is split:
            _put(tree, phrase)
    assert tree, f"no {split.value} phrases of {sorted(kinds)}"
    while True:
        phrase = _drawn(tree, random)
        among = phrasings(phrase.form)
        yield phrased(phrase, among[random.integers(len(among))])


def _put(tree: dict[Any, Any], phrase: Phrase) -> None:
    family = "actions" if phrase.form is Form.ACTION else "others"
    for key in (family, phrase.form, phrase.kind.treatment, phrase.kind):
        tree = tree.setdefault(key, {})
    tree.setdefault(phrase.topic, []).append(phrase)


def _drawn(tree: dict[Any, Any], random: np.random.Generator) -> Phrase:
    """A phrase from the tree, branches equally likely at every fork."""
    branch: Any = tree
    while not isinstance(branch, Phrase):
        among = list(branch.values()) if isinstance(branch, dict) else branch
        branch = among[random.integers(len(among))]
    return branch
