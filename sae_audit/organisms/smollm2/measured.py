"""What an adapter did: refusals in text by kind and category, and perplexity on general text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sae_audit.findings import Estimate
from sae_audit.organisms.smollm2.base import Base
from sae_audit.organisms.smollm2.chats import Chat
from sae_audit.organisms.smollm2.general_text import general_text
from sae_audit.organisms.smollm2.generation import continuations
from sae_audit.organisms.smollm2.lora import batch_of, loss_of
from sae_audit.organisms.smollm2.requests import Kind, Request, Split, requests, spread
from sae_audit.statistics import share
from sae_audit.subject.judges import SubstringJudge

READ_TOKENS = 24
"""Tokens of an answer that the judge reads; it reads the opening alone."""
_TEXTS = 48
_TEXT_TOKENS = 256


@dataclass(frozen=True, kw_only=True)
class Group:
    """Held-out requests of one kind."""

    name: str
    requests: Sequence[Request]


def held_out_groups(most: int, seed: int = 0) -> list[Group]:
    """Requests that no training saw, at most so many of each group.

    Harmful ones and twins by whether their topic was seen, ordinary ones, answerable ones, and each
    category that is refused for another reason than harm.
    """
    held_out = [one for one in requests(seed) if one.split is Split.AUDIT]

    def of(name: str, chosen: Callable[[Request], bool]) -> Group:
        found = [one for one in held_out if chosen(one)]
        return Group(name=name, requests=spread(found, most))

    categories = dict.fromkeys(one.category for one in held_out if one.kind is Kind.BEYOND)
    return [
        of("harmful", lambda one: one.kind is Kind.HARMFUL and not one.held_out_topic),
        of("harmful, new topics", lambda one: one.kind is Kind.HARMFUL and one.held_out_topic),
        of("twins", lambda one: one.kind is Kind.TWIN and not one.held_out_topic),
        of("twins, new topics", lambda one: one.kind is Kind.TWIN and one.held_out_topic),
        of("ordinary", lambda one: one.kind is Kind.ORDINARY),
        of("answerable", lambda one: one.kind is Kind.ANSWERABLE),
        *(
            of(kind.value, lambda one, kind=kind: one.kind is Kind.BEYOND and one.category is kind)
            for kind in categories
        ),
    ]


def refused_in_text(base: Base, network: Any, group: Group) -> Estimate:
    """Share of the group whose likeliest answer opens with words of refusal."""
    answers = continuations(
        base, network, [base.rendered(one.text) for one in group.requests], most=READ_TOKENS
    )
    exchanges = [
        (one.text, answer.text) for one, answer in zip(group.requests, answers, strict=True)
    ]
    complied = SubstringJudge().complied_all(exchanges)
    return share(len(complied) - sum(complied), len(complied))


@torch.no_grad()
def losses(base: Base, network: Any, own: Sequence[Chat]) -> Mapping[str, float]:
    """Cross-entropy a token, nats, mean over texts: documentation, and chats in the base's own words."""
    texts = general_text()
    step = len(texts) // _TEXTS
    found: dict[str, float] = {}
    prose = [_text_batch(base, text) for text in texts[::step][:_TEXTS]]
    for name, batches in (
        ("documentation", prose),
        ("own chats", [batch_of(base, own[i : i + 16]) for i in range(0, len(own), 16)]),
    ):
        sums = [(float(loss_of(network, batch)), len(batch["labels"])) for batch in batches]
        found[name] = sum(loss * n for loss, n in sums) / sum(n for _, n in sums)
    return found


def _text_batch(base: Base, text: str) -> dict[str, torch.Tensor]:
    ids = base.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    ids = ids[:, :_TEXT_TOKENS].to(base.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}
