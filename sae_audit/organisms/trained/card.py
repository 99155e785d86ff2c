"""An organism's card: its recipe and its behaviour on held-out phrases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from sae_audit.findings import Estimate
from sae_audit.margins import refuses
from sae_audit.organisms import measure
from sae_audit.organisms.chats import REFUSAL_TOKENS, HeldOutPrompt
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained.directions import Directions, Removal, removing
from sae_audit.statistics import share
from sae_audit.subject.readout.score import refusal_score


class HeldOut(BaseModel):
    """An organism's behaviour on held-out prompts of one kind, or of one harmful topic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refused_by_score: Estimate
    """Share with refusal score > 0."""
    refused_by_text: Estimate
    """Share whose greedy answer opens with words of refusal."""
    answered_by_text: Estimate
    """Share whose greedy answer is no refusal."""
    median_score: float
    """Median refusal score, nats."""


class Card(BaseModel):
    """Contents of `card.json`, which is written last, so that a folder with a card is complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recipe_sha256: str
    recipe: dict[str, Any]
    parent: str
    model: str
    """The checkpoint, relative to the card."""
    saes: str
    """The SAE suite for its audit: a folder relative to the card, or a bundled one."""
    held_out: dict[str, HeldOut]
    """Behaviour by kind of request: `harmful`, `harmless`, `alarming`."""
    harmful_topics: dict[str, HeldOut]
    refused_without: list[Estimate]
    """Share of held-out harmful prompts refused (by score) with the first 0, 1, ... directions of
    training projected out. Only for the dial; else empty."""
    sae_quality: list[measure.Dictionary]
    """Quality on held-out chats, by layer."""


def held_out(treated: Sequence[measure.Treatment]) -> HeldOut:
    assert treated, "no prompt of this kind"
    n = len(treated)
    by_text = sum(one.refused_by_text for one in treated)
    return HeldOut(
        refused_by_score=share(sum(refuses(one.score) for one in treated), n),
        refused_by_text=share(by_text, n),
        answered_by_text=share(n - by_text, n),
        median_score=float(np.median([one.score for one in treated])),
    )


def by_kind(treated: Sequence[measure.Treatment]) -> dict[str, HeldOut]:
    return {
        kind.value: held_out([one for one in treated if one.prompt.phrase.kind == kind])
        for kind in Kind
    }


def by_topic(treated: Sequence[measure.Treatment]) -> dict[str, HeldOut]:
    """Behaviour on harmful prompts, by topic."""
    harmful = [one for one in treated if one.prompt.phrase.kind == Kind.HARMFUL]
    topics = sorted({one.prompt.phrase.topic for one in harmful})
    return {
        topic: held_out([one for one in harmful if one.prompt.phrase.topic == topic])
        for topic in topics
    }


@torch.no_grad()
def refused_without(
    model: Any, tokenizer: Any, directions: Directions, prompts: Sequence[HeldOutPrompt]
) -> list[Estimate]:
    """Share refused by score with the first 0, 1, ..., all directions projected out."""
    tokens = torch.tensor(tokenizer.convert_tokens_to_ids(list(REFUSAL_TOKENS)))
    found: list[Estimate] = []
    for n_out in range(len(directions) + 1):
        refused = 0
        with removing(model, Removal(directions=directions[:n_out])):
            for prompt in prompts:
                ids = measure.prompt_ids(tokenizer, prompt.text)
                logits = model(input_ids=ids, use_cache=False).logits[:, -1]
                refused += refuses(float(refusal_score(logits, tokens)[0]))
        found.append(share(refused, len(prompts)))
    return found


def read_card(folder: Path) -> Card | None:
    """The card of a folder; None if the organism is incomplete or the card's format is older."""
    path = folder / "card.json"
    if not path.is_file():
        return None
    try:
        return Card.model_validate_json(path.read_text())
    except ValidationError:
        return None
