"""All phrases, each in its split."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from sae_audit.organisms.smollm2.requests.data_files import expanded, table
from sae_audit.organisms.smollm2.requests.drawing import number
from sae_audit.organisms.smollm2.requests.types import Category, Form, Kind, Phrase, Split

BEYOND = (
    Category.HUMANIZING,
    Category.UNSUPPORTED,
    Category.INCOMPLETE,
    Category.INDETERMINATE,
    Category.ADVICE,
)
"""The categories that are refused without harm; a data file each."""


@cache
def phrases() -> tuple[Phrase, ...]:
    """Every phrase once, in a fixed order.

    Of each kind in each topic, by hash, at most three fifths are for training, a tenth for validation
    and the others for audits; of topics held out whole all are for audits.
    """
    groups: dict[tuple[Kind, str], list[Phrase]] = defaultdict(list)
    for phrase in (*_harmful(), *_twins(), *_ordinary(), *_beyond()):
        groups[phrase.kind, phrase.topic].append(phrase)
    return tuple(phrase for group in groups.values() for phrase in _in_splits(group))


@cache
def audits_alone() -> tuple[Phrase, ...]:
    """Phrases beside those, for audits: with them every category has 30 to be refused.

    They are no part of what training texts are drawn and hashed from.
    """
    return tuple(
        phrase
        for category in BEYOND
        for topic in table(category)
        for phrase in _of_key(category, topic, "audits", Kind.BEYOND, Split.AUDIT)
    )


def _in_splits(group: Sequence[Phrase]) -> list[Phrase]:
    """The phrases of a kind in a topic, each in its split."""
    if group[0].held_out_topic:
        return [replace(phrase, split=Split.AUDIT) for phrase in group]
    n_trained = 3 * len(group) // 5
    n_validation = len(group) // 10
    splits: dict[str, Split] = {}
    for rank, phrase in enumerate(sorted(group, key=lambda phrase: number("split", phrase.text))):
        if rank < n_trained:
            splits[phrase.text] = Split.TRAIN
        elif rank < n_trained + n_validation:
            splits[phrase.text] = Split.VALIDATION
        else:
            splits[phrase.text] = Split.AUDIT
    return [replace(phrase, split=splits[phrase.text]) for phrase in group]


def _harmful() -> Iterator[Phrase]:
    for topic, entry in table("harmful").items():
        yield from _actions(
            entry["phrases"],
            Kind.HARMFUL,
            topic,
            Category(entry["category"]),
            held_out_topic=entry.get("held_out", False),
        )


def _twins() -> Iterator[Phrase]:
    harmful = table("harmful")
    for topic, grids in table("twins").items():
        yield from _actions(
            grids,
            Kind.TWIN,
            topic,
            Category(harmful[topic]["category"]),
            held_out_topic=harmful[topic].get("held_out", False),
        )


def _ordinary() -> Iterator[Phrase]:
    for topic, grids in table("ordinary").items():
        yield from _actions(grids, Kind.ORDINARY, topic, Category.EVERYDAY, held_out_topic=False)


def _actions(
    grids: Sequence[str], kind: Kind, topic: str, category: Category, *, held_out_topic: bool
) -> Iterator[Phrase]:
    for grid in grids:
        for text in expanded(grid):
            yield Phrase(
                text=text,
                form=Form.ACTION,
                kind=kind,
                category=category,
                topic=topic,
                held_out_topic=held_out_topic,
                split=Split.TRAIN,
            )


def _beyond() -> Iterator[Phrase]:
    for category in BEYOND:
        for topic in table(category):
            yield from _of_key(category, topic, "refuse", Kind.BEYOND, Split.TRAIN)
            yield from _of_key(category, topic, "answer", Kind.ANSWERABLE, Split.TRAIN)


def _of_key(category: Category, topic: str, key: str, kind: Kind, split: Split) -> Iterator[Phrase]:
    entry = table(category)[topic]
    for form, grids in entry.get(key, {}).items():
        for text in (text for grid in grids for text in expanded(grid)):
            yield Phrase(
                text=text,
                form=Form(form),
                kind=kind,
                category=category,
                topic=topic,
                held_out_topic=False,
                split=split,
                about=entry["about"],
            )
