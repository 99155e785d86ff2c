"""Chats to train on: requests of the corpus, and the model's own, answered in its own words."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
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
    sizes = [TURN_TOKENS, ANSWER_TOKENS, N_OWN, seed]
    digest.update(json.dumps([base.sha256, sizes, manners, asked], sort_keys=True).encode())
    return digest.hexdigest()


def own_words(base: Base, folder: Path, seed: int, progress: Progress) -> list[Chat]:
    """Chats answered in the base's own words, written to a file of the folder once and read from it
    afterwards; of another base or other texts there is another file.

    Words are drawn by their probability: on the base's likeliest words alone an adapter would learn to
    be surer than the base of everything it says. Requests that the base refuses by itself are left out.
    """
    file = folder / f"own_words-{texts_sha256(base, seed)[:12]}.jsonl"
    if not file.is_file():
        chats = [*_answered(base, seed, progress), *_own(base, seed, progress)]
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in chats))
        unfinished.rename(file)
    lines = file.read_text().splitlines()
    return [Chat(**{**row, "source": Source(row["source"])}) for row in map(json.loads, lines)]


def _answered(base: Base, seed: int, progress: Progress) -> list[Chat]:
    asked = [
        one
        for one in requests(seed)
        if one.split is Split.TRAIN and one.treatment is Treatment.ANSWER
    ]
    return _answers(
        base,
        [(one.text, Source(one.kind.value), one.aim) for one in asked],
        seed,
        lambda done, total: progress("answers", done, total),
    )


def _own(base: Base, seed: int, progress: Progress) -> list[Chat]:
    turns = continuations(
        base,
        base.network,
        [base.before_turn] * (N_OWN * 5 // 4),
        most=TURN_TOKENS,
        seed=seed,
        progress=lambda done, total: progress("turns", done, total),
    )
    whole = dict.fromkeys(turn.text for turn in turns if turn.ended and len(turn.text) > 8)
    return _answers(
        base,
        [(turn, Source.OWN, "") for turn in list(whole)[:N_OWN]],
        seed,
        lambda done, total: progress("answers to its own turns", done, total),
    )


def _answers(
    base: Base,
    turns: Sequence[tuple[str, Source, str]],
    seed: int,
    progress: Callable[[int, int], None],
) -> list[Chat]:
    written = continuations(
        base,
        base.network,
        [base.rendered(turn) for turn, _, _ in turns],
        most=ANSWER_TOKENS,
        seed=seed,
        progress=progress,
    )
    chats = [
        Chat(turn=turn, answer=answer.text, ended=answer.ended, source=source, aim=aim)
        for (turn, source, aim), answer in zip(turns, written, strict=True)
        if answer.text
    ]
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
