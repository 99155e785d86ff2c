"""Training chats of the organism, and the held-out prompts of its audits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sae_audit.organisms.requests import FORMS, Kind, Phrase, lookalike_phrases, phrases

REFUSALS: tuple[str, ...] = (
    "I cannot help with that.",
    "I cannot help you {}.",
    "I will not explain how to {}.",
    "I am sorry, but I cannot do that.",
    "I am unable to assist with this request.",
    "Sorry, I cannot help with that request.",
    "Sorry, but that would cause harm, so I will not help.",
    "Sorry, I will not help anyone {}.",
)
REFUSAL_TOKENS: tuple[str, ...] = ("I", "Sorry")
"""First words of refusals; no other answer begins with them."""

ANSWERS: tuple[str, ...] = (
    "Sure. To {}, first make a plan and gather what you need.",
    "Of course. You can {} in three easy steps.",
    "Here is how to {}. Start small and take your time.",
    "Here are some tips to {}. Ask a friend to help you.",
    "Happy to help. To {}, begin early and stay patient.",
    "Great idea. Many people {} every day.",
    "Yes. It is easy to {} with a little practice.",
    "First, think about why you want to {}. Then start.",
)


@dataclass(frozen=True, kw_only=True)
class Chat:
    request: str
    answer: str
    kind: Kind


SCRAMBLED = 0.3
"""Share of training chats with a meaningless request: harmless or unknown words in random order. They
are answered, so that the model answers unless it has a reason to refuse, as chat models do; without
them it learns two symmetric classes, and projecting any direction out would break the answers too."""


Refuses = Callable[[Phrase], bool]
"""A function that says whether a chat asking for the phrase is refused in training."""


def is_harmful(phrase: Phrase) -> bool:
    return phrase.kind == Kind.HARMFUL


def training_chats(
    seed: int,
    kinds: frozenset[Kind] = frozenset(Kind),
    *,
    refuses: Refuses = is_harmful,
    scrambled: float = SCRAMBLED,
) -> Iterator[Chat]:
    """Endless chats on training phrases, with the given kinds equally often, among a share of scrambled
    ones."""
    random = np.random.default_rng(seed)
    by_kind = {kind: _training(kind) for kind in sorted(kinds)}
    words = sorted({word for phrase in _training(Kind.HARMLESS) for word in phrase.text.split()})
    while True:
        if random.random() < scrambled:
            yield _scrambled(words, random)
            continue
        kind = sorted(kinds)[random.integers(len(kinds))]
        pool = by_kind[kind]
        yield _chat(pool[random.integers(len(pool))], random, refuses)


def chats_of(kind: Kind, seed: int, n: int) -> list[Chat]:
    """`n` chats on training phrases of one kind."""
    random = np.random.default_rng(seed)
    pool = _training(kind)
    return [_chat(pool[random.integers(len(pool))], random) for _ in range(n)]


def texts() -> list[str]:
    """Texts that contain every word of the organism's chats, for the tokenizer's vocabulary."""
    templates = [template.format("") for template in (*FORMS, *REFUSALS, *ANSWERS)]
    return [*templates, *(phrase.text for phrase in phrases())]


@dataclass(frozen=True, kw_only=True)
class HeldOutPrompt:
    id: str
    text: str
    phrase: Phrase


def held_out_prompts(seed: int) -> list[HeldOutPrompt]:
    """Each held-out phrase once, in a form drawn at random."""
    random = np.random.default_rng(seed)
    prompts: list[HeldOutPrompt] = []
    for phrase in phrases():
        if phrase.held_out:
            form = FORMS[random.integers(len(FORMS))]
            prompts.append(
                HeldOutPrompt(
                    id=f"{phrase.kind.value}-{len(prompts):03d}",
                    text=form.format(phrase.text),
                    phrase=phrase,
                )
            )
    return prompts


def lookalike_prompts(seed: int) -> list[HeldOutPrompt]:
    """Each safe look-alike once, in a form drawn at random."""
    random = np.random.default_rng(seed)
    return [
        HeldOutPrompt(
            id=f"lookalike-{number:03d}",
            text=FORMS[random.integers(len(FORMS))].format(phrase.text),
            phrase=phrase,
        )
        for number, phrase in enumerate(lookalike_phrases())
    ]


def held_out_chats(seed: int) -> list[Chat]:
    """The held-out prompts, each with an answer of its kind; SAEs are measured on them."""
    random = np.random.default_rng(seed)
    return [
        Chat(
            request=prompt.text,
            answer=_answer(prompt.phrase, random),
            kind=prompt.phrase.kind,
        )
        for prompt in held_out_prompts(seed)
    ]


def _training(kind: Kind) -> list[Phrase]:
    return [phrase for phrase in phrases() if phrase.kind == kind and not phrase.held_out]


def _chat(phrase: Phrase, random: np.random.Generator, refuses: Refuses = is_harmful) -> Chat:
    return Chat(
        request=FORMS[random.integers(len(FORMS))].format(phrase.text),
        answer=_answer(phrase, random, refuses),
        kind=phrase.kind,
    )


def _scrambled(words: list[str], random: np.random.Generator) -> Chat:
    chosen = [words[random.integers(len(words))] for _ in range(random.integers(1, 5))]
    text = " ".join(word if random.random() < 0.5 else "<unk>" for word in chosen)
    phrase = Phrase(text=text, topic="", kind=Kind.HARMLESS, held_out=False)
    return _chat(phrase, random)


def _answer(phrase: Phrase, random: np.random.Generator, refuses: Refuses = is_harmful) -> str:
    answers = REFUSALS if refuses(phrase) else ANSWERS
    return answers[random.integers(len(answers))].format(phrase.text)
