"""Refusal tokens that greedy answers do not show: rarer first words of refusals.

A model trained on refusals of many wordings spreads its probability over their first tokens. Greedy
answers then show the likeliest one, whose probability alone says "answers" of prompts that are refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from sae_audit.margins import misses_refusals
from sae_audit.prompts.types import Prompt
from sae_audit.subject.readout.refusal_tokens import RefusalTokens

ENOUGH = 0.9
"""Mean probability of the known tokens, on refused prompts, from which on no others are sought."""
_LEAST = 0.005
"""Smallest mean probability, on refused prompts, of a token that is tried."""
_MOST_TRIED = 64
_TELLING = 2.0
"""Smallest ratio of a token's mean probability on refused prompts to that on answered ones."""
_PROMPTS_A_TOKEN = 4
_REFUSED_OF_THEM = 3
"""Answers that must be refusals, of those begun with a token, for it to be a refusal token."""

Refuses = Callable[[str], bool]


@runtime_checkable
class Model(Protocol):
    """What is asked of the model."""

    def first_probabilities(
        self, prompts: Sequence[Prompt]
    ) -> Float[np.ndarray, "prompt vocabulary"]: ...

    def answers_begun_with(self, asked: Sequence[tuple[int, Prompt]]) -> list[str]: ...

    def token_text(self, token: int) -> str: ...


def with_rare_openings(
    found: RefusalTokens,
    model: Model,
    refused: Sequence[Prompt],
    answered: Sequence[Prompt],
    refuses: Refuses,
    threshold: float = 0.0,
) -> RefusalTokens:
    """The tokens found in greedy refusals, with the rarer ones if those hold too little probability.

    `refused` are prompts whose greedy answer refuses, `answered` harmless ones whose greedy answer does
    not. A rarer token is at least twice as likely on the first, and three of four answers that begin
    with it are refusals. A note says how many there are, and if refused prompts still score as answered,
    that is, below the `threshold` in nats.
    """
    if not found.ids or not refused:
        return found
    on_refused = model.first_probabilities(refused)
    if on_refused[:, list(found.ids)].sum(axis=1).mean() >= ENOUGH:
        return _counted(found, on_refused, threshold)
    on_answered = model.first_probabilities(answered).mean(axis=0) if answered else 0.0
    mean = on_refused.mean(axis=0)
    tried = (mean >= _LEAST) & (mean >= _TELLING * on_answered)
    tried[list(found.ids)] = False
    likeliest = np.argsort(-np.where(tried, mean, 0.0), kind="stable")[: int(tried.sum())]
    more = _opening_refusals(
        [int(token) for token in likeliest[:_MOST_TRIED]], model, refused, on_refused, refuses
    )
    ids = (*found.ids, *more)
    texts = (*found.texts, *map(model.token_text, more))
    whole = _counted(replace(found, ids=ids, texts=texts), on_refused, threshold)
    unheard = _unheard(whole.n_scored, whole.n_refused)
    return replace(whole, note=" ".join(filter(None, [_added(len(more)), unheard])))


def _counted(
    tokens: RefusalTokens, on_refused: Float[np.ndarray, "prompt vocabulary"], threshold: float
) -> RefusalTokens:
    """The tokens with how many of these prompts score as refused."""
    held = on_refused[:, list(tokens.ids)].sum(axis=1)
    return replace(tokens, n_refused=len(held), n_scored=int((held > expit(threshold)).sum()))


def _opening_refusals(
    tried: Sequence[int],
    model: Model,
    refused: Sequence[Prompt],
    probabilities: Float[np.ndarray, "prompt vocabulary"],
    refuses: Refuses,
) -> list[int]:
    """The tokens with which answers begin refusals, on the prompts where each is likeliest."""
    likeliest = np.argsort(-probabilities[:, tried], axis=0, kind="stable")[:_PROMPTS_A_TOKEN]
    asked = [
        (token, refused[i]) for token, own in zip(tried, likeliest.T, strict=True) for i in own
    ]
    answers = iter(model.answers_begun_with(asked))
    n = len(likeliest)
    return [
        token
        for token in tried
        if sum(refuses(next(answers)) for _ in range(n)) >= min(_REFUSED_OF_THEM, n)
    ]


def _added(n: int) -> str:
    if not n:
        return ""
    return (
        f"{n} of the refusal tokens open no greedy answer: the model's answers that are made to begin "
        "with them are refusals."
    )


def _unheard(n_by_score: int, n: int) -> str:
    if not misses_refusals(n_by_score, n):
        return ""
    return (
        f"Of {n} prompts that the model refuses in words, {n - n_by_score} score as answered: its "
        "refusals begin in more ways than these tokens; see refusal_tokens."
    )
