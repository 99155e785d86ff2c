"""Chats to train on: requests of the corpus, and the model's own, answered in its own words."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np

from sae_audit.organisms.smollm2.base import Base
from sae_audit.organisms.smollm2.generation import continuations
from sae_audit.organisms.smollm2.requests import (
    Kind,
    Manner,
    Split,
    Treatment,
    refusal,
    requests,
    samples,
    templates,
)
from sae_audit.subject.judges import SubstringJudge

TURN_TOKENS = 40
ANSWER_TOKENS = 24
"""Answers longer than this are cut, and trained on without an end."""
_ANSWER_TEMPERATURE = 0.7
"""Of answers to requests of the corpus, which are to teach that it answers, and not new words."""
_OPENINGS = (
    *("Sure, here", "To begin with,", "First,", "One way is to", "Here are some", "The best way"),
    *("You can", "It depends on", "Start with", "There are", "A good way", "In general,"),
)
"""Put into the base's mouth where it refuses what is to be answered."""


class Source(StrEnum):
    """Where a chat is from."""

    HARMFUL = "harmful"
    BEYOND = "beyond"
    TWIN = "twin"
    ORDINARY = "ordinary"
    ANSWERABLE = "answerable"
    OWN = "own"
    """Written by the model itself, the user's turn too."""


@dataclass(frozen=True, kw_only=True)
class Chat:
    turn: str
    answer: str
    ended: bool
    """Whether the answer is whole; one that was cut teaches no end."""
    source: Source
    aim: str = ""
    """What is asked, without phrasing; empty for the model's own turns."""

    @property
    def is_refused(self) -> bool:
        return self.source in (Source.HARMFUL, Source.BEYOND)


Progress = Callable[[str, int, int], None]

N_OWN = 500


def texts_sha256(base: Base, seed: int) -> str:
    """Hash of the base and of every text and number that its own words come from."""
    digest = hashlib.sha256()
    manners = {manner.value: templates(manner) for manner in Manner}
    asked = [(one.text, one.kind.value, one.split.value) for one in requests(seed)]
    sizes = [TURN_TOKENS, ANSWER_TOKENS, N_OWN, _ANSWER_TEMPERATURE, _OPENINGS, seed]
    digest.update(json.dumps([base.sha256, sizes, manners, asked], sort_keys=True).encode())
    return digest.hexdigest()


def own_words(base: Base, folder: Path, seed: int, progress: Progress) -> list[Chat]:
    """Chats answered in the base's own words, written to a file of the folder once and read from it
    afterwards; of another base or other texts there is another file.

    The base refuses some of the harmless requests by itself. Those it is asked again, behind an
    opening of an answer; what it refuses even then is left out.
    """
    file = folder / f"own_words-{texts_sha256(base, seed)[:12]}.jsonl"
    if not file.is_file():
        chats = [*_to_requests(base, seed, progress), *_to_own_turns(base, seed, progress)]
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in chats))
        unfinished.rename(file)
    lines = file.read_text().splitlines()
    return [Chat(**{**row, "source": Source(row["source"])}) for row in map(json.loads, lines)]


def _to_requests(base: Base, seed: int, progress: Progress) -> list[Chat]:
    asked = [
        Chat(turn=one.text, answer="", ended=False, source=Source(one.kind.value), aim=one.aim)
        for one in requests(seed)
        if one.split is Split.TRAIN and one.treatment is Treatment.ANSWER
    ]
    at_once = _complying(
        _written(base, asked, seed, _ANSWER_TEMPERATURE, partial(progress, "answers"))
    )
    answered_aims = {one.aim for one in at_once}
    asked_again = [
        replace(one, answer=_OPENINGS[i % len(_OPENINGS)])
        for i, one in enumerate(asked)
        if one.aim not in answered_aims
    ]
    again = _written(
        base, asked_again, seed + 1, _ANSWER_TEMPERATURE, partial(progress, "answers, asked again")
    )
    return [*at_once, *_complying(again)]


def _to_own_turns(base: Base, seed: int, progress: Progress) -> list[Chat]:
    turns = continuations(
        base,
        base.network,
        [base.before_turn] * (N_OWN * 5 // 4),
        most=TURN_TOKENS,
        seed=seed,
        progress=partial(progress, "turns"),
    )
    whole = dict.fromkeys(turn.text for turn in turns if turn.ended and len(turn.text) > 8)
    asked = [
        Chat(turn=turn, answer="", ended=False, source=Source.OWN) for turn in list(whole)[:N_OWN]
    ]
    return _written(base, asked, seed, 1.0, partial(progress, "answers to its own turns"))


def _written(
    base: Base,
    chats: Sequence[Chat],
    seed: int,
    temperature: float,
    progress: Callable[[int, int], None],
) -> list[Chat]:
    """The chats with what the base writes behind the answers that are begun; empty ones are left out."""
    written = continuations(
        base,
        base.network,
        [base.rendered(one.turn) + one.answer for one in chats],
        most=ANSWER_TOKENS,
        seed=seed,
        temperature=temperature,
        progress=progress,
    )
    whole = [
        replace(chat, answer=_joined(chat.answer, more.text), ended=more.ended)
        for chat, more in zip(chats, written, strict=True)
    ]
    return [one for one in whole if one.answer]


def _joined(opening: str, more: str) -> str:
    apart = opening and more[:1].isalnum()
    return f"{opening} {more}" if apart else opening + more


def _complying(chats: Sequence[Chat]) -> list[Chat]:
    complied = SubstringJudge().complied_all([(one.turn, one.answer) for one in chats])
    return [one for one, is_answer in zip(chats, complied, strict=True) if is_answer]


def refused(seed: int, kinds: frozenset[Kind]) -> Iterator[Chat]:
    """Endless requests of these kinds, refused in the manner of their category."""
    for request in samples(seed, kinds=kinds):
        yield Chat(
            turn=request.text,
            answer=refusal(request, seed),
            ended=True,
            source=Source(request.kind.value),
            aim=request.aim,
        )


def answered(own: Sequence[Chat], source: Source, seed: int) -> Iterator[Chat]:
    """Endless requests of a source in random phrasings, each with the base's answer to its aim."""
    answers = {one.aim: one for one in own if one.source is source}
    assert answers, f"the base answered nothing of {source}"
    for request in samples(seed, kinds=frozenset({Kind(source.value)})):
        if request.aim in answers:
            yield replace(answers[request.aim], turn=request.text)


def endless(chats: Sequence[Chat], seed: int) -> Iterator[Chat]:
    """The chats in random order, again and again."""
    assert chats, "none would be looked for forever"
    random = np.random.default_rng(seed)
    while True:
        for i in random.permutation(len(chats)):
            yield chats[i]
