"""An organism's card: what it was made by, and how it behaves on phrases it never met."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from sae_audit.findings import Estimate
from sae_audit.organisms import measure
from sae_audit.organisms.requests import Kind
from sae_audit.statistics import share


class HeldOut(BaseModel):
    """How an organism treats held-out prompts of one kind, or of one harmful topic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refused_by_score: Estimate
    """Share with refusal score > 0."""
    refused_by_text: Estimate
    """Share whose greedy answer opens with words of refusal."""
    answered_by_text: Estimate
    """The other share."""
    median_score: float
    """Nats."""


class Card(BaseModel):
    """What `card.json` holds; written last, so that a folder with a card is whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recipe_sha256: str
    recipe: dict[str, Any]
    parent: str
    model: str
    """The checkpoint, relative to the card."""
    saes: str
    """The suite to audit it through: a folder relative to the card, or a bundled one."""
    held_out: dict[str, HeldOut]
    """By kind of request: `harmful`, `harmless`, `alarming`."""
    harmful_topics: dict[str, HeldOut]
    sae_quality: list[measure.Dictionary]
    """On held-out chats, by layer."""


def held_out(treated: Sequence[measure.Treatment]) -> HeldOut:
    assert treated, "no prompt of this kind"
    n = len(treated)
    by_text = sum(one.refused_by_text for one in treated)
    return HeldOut(
        refused_by_score=share(sum(one.score > 0.0 for one in treated), n),
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
    """Harmful prompts alone."""
    harmful = [one for one in treated if one.prompt.phrase.kind == Kind.HARMFUL]
    topics = sorted({one.prompt.phrase.topic for one in harmful})
    return {
        topic: held_out([one for one in harmful if one.prompt.phrase.topic == topic])
        for topic in topics
    }


def read_card(folder: Path) -> Card | None:
    """None where the folder holds no whole organism."""
    path = folder / "card.json"
    return Card.model_validate(json.loads(path.read_text())) if path.is_file() else None
