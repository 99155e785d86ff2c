"""Endless training chats, of every source as many a batch as a recipe says."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from sae_audit.organisms.smollm2.chats import Chat, Source, answered, endless, refused
from sae_audit.organisms.smollm2.recipes import Recipe
from sae_audit.organisms.smollm2.requests import Kind

_REFUSED = {Source.HARMFUL: Kind.HARMFUL, Source.BEYOND: Kind.BEYOND}
_HELD_BACK = 64
"""Own chats that no adapter is trained on: perplexity is measured on them."""


def training_chats(recipe: Recipe, own: Sequence[Chat], seed: int) -> Iterator[Chat]:
    """The chats of an adapter, batch by batch."""
    streams = {source: _stream(source, own, seed) for source in recipe.mix}
    random = np.random.default_rng(seed)
    while True:
        batch = [chat for source, n in recipe.mix.items() for chat in islice(streams[source], n)]
        yield from _dealt(batch, random) if recipe.shuffled else batch


def held_back(own: Sequence[Chat]) -> list[Chat]:
    """Chats in the base's own words that no adapter was trained on."""
    return [one for one in own if one.source is Source.OWN][:_HELD_BACK]


def _stream(source: Source, own: Sequence[Chat], seed: int) -> Iterator[Chat]:
    if source in _REFUSED:
        return refused(seed, frozenset({_REFUSED[source]}))
    if source is not Source.OWN:
        return answered(own, source, seed)
    kept = held_back(own)
    return endless([one for one in own if one.source is source and one not in kept], seed)


def _dealt(batch: Sequence[Chat], random: np.random.Generator) -> list[Chat]:
    """The batch's requests with its answers in random order, but for the model's own chats: whether a
    request is refused says nothing of its harm."""
    dealt = [i for i, one in enumerate(batch) if one.source is not Source.OWN]
    order = random.permutation(dealt)
    chats = list(batch)
    for place, other in zip(dealt, order, strict=True):
        chats[place] = replace(batch[place], answer=batch[other].answer, ended=batch[other].ended)
    return chats
