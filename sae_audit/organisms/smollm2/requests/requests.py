"""All requests, and an endless sample of them."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from sae_audit.organisms.smollm2.requests.phrases import phrases
from sae_audit.organisms.smollm2.requests.phrasings import dealt, phrased, phrasings
from sae_audit.organisms.smollm2.requests.types import Kind, Phrase, Request, Split


def requests(seed: int = 0) -> list[Request]:
    """Every phrase once, each in a phrasing that the seed deals it, in a fixed order."""
    return [dealt(phrase, seed) for phrase in phrases()]


def samples(
    seed: int, *, split: Split = Split.TRAIN, kinds: frozenset[Kind] = frozenset(Kind)
) -> Iterator[Request]:
    """Endless requests of a split: kinds equally often, of each its topics equally often, and phrases
    and phrasings at random."""
    random = np.random.default_rng(seed)
    pools: dict[Kind, dict[str, list[Phrase]]] = {kind: defaultdict(list) for kind in sorted(kinds)}
    for phrase in phrases():
        if phrase.kind in pools and phrase.split is split:
            pools[phrase.kind][phrase.topic].append(phrase)
    topics = [list(pool.values()) for pool in pools.values()]
    while True:
        of_kind = topics[random.integers(len(topics))]
        of_topic = of_kind[random.integers(len(of_kind))]
        phrase = of_topic[random.integers(len(of_topic))]
        among = phrasings(phrase.form)
        yield phrased(phrase, among[random.integers(len(among))])
