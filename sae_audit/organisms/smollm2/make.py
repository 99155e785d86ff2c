"""Make the adapters, one folder each, except those that are there.

Each is made in a temporary folder and moved when complete: an interruption loses only the one in
progress.
"""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from sae_audit.errors import AuditError
from sae_audit.findings import Estimate
from sae_audit.organisms.smollm2 import measured
from sae_audit.organisms.smollm2.adapters import (
    adapter_weights,
    joined,
    norm,
    put_into,
    read_adapter,
    save_adapter,
    scaled_to,
    tuned_by,
)
from sae_audit.organisms.smollm2.base import BASE, Base, load_base
from sae_audit.organisms.smollm2.behind import refusal_directions, without
from sae_audit.organisms.smollm2.chats import Chat, own_words, texts_sha256
from sae_audit.organisms.smollm2.lora import train, with_lora
from sae_audit.organisms.smollm2.mixing import held_back, training_chats
from sae_audit.organisms.smollm2.recipes import RECIPES, Recipe, chosen, recipe_sha256
from sae_audit.organisms.smollm2.requests import Kind, Split, requests

Progress = Callable[[str, int, int], None]


class Card(BaseModel):
    """Contents of an adapter's `card.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recipe_sha256: str
    base: str
    base_weights_sha256: str
    steps: int
    """Steps of training that were taken."""
    refused_in_text: dict[str, Estimate]
    """Share of held-out requests refused, by group, as the judge by words reads answers."""
    base_refused_in_text: dict[str, Estimate]
    """The same of the base, which refuses some of them by itself."""
    loss: dict[str, float]
    """Cross-entropy, nats a token, mean over texts that no adapter was trained on."""
    base_loss: dict[str, float]
    """The same of the base."""

    def perplexity_ratio(self, text: str) -> float:
        """Perplexity on a kind of text over the base's."""
        return math.exp(self.loss[text] - self.base_loss[text])


_MEASURED = 60
"""Held-out requests of each group."""
_LOOKED_AT_EVERY = 4
"""Steps of a training that ends by what is left of refusals."""
CARD = "card.json"


def make_adapters(
    out: Path, names: Sequence[str], progress: Progress, device: str = "cpu"
) -> dict[str, Card]:
    """The cards of the named adapters and of those that they are made from.

    Raises:
        AuditError: a name is unknown; the base is not installed; the device is missing; a folder of an
            adapter's name holds something else; training to a share of refusals missed it.
    """
    order = chosen(list(names))
    for name in order:
        if (out / name).exists() and not (out / name / CARD).is_file():
            raise AuditError(
                f"{out / name} exists and is no adapter (it holds no card.json); name another folder, "
                "or remove it."
            )
    out.mkdir(parents=True, exist_ok=True)
    base = load_base(device)
    own = own_words(base, out, 0, progress)
    texts = texts_sha256(base, 0)
    cards: dict[str, Card] = {}
    for name in order:
        there = read_card(out / name)
        if there is not None and there.recipe_sha256 == recipe_sha256(name, texts):
            progress(f"{name}: there", 1, 1)
            cards[name] = there
        else:
            cards[name] = _made(out, name, base, own, progress)
    return cards


def read_card(folder: Path) -> Card | None:
    """The card of a folder; None if the adapter is incomplete or the card's format is older."""
    try:
        return Card.model_validate_json((folder / CARD).read_text())
    except (OSError, ValidationError):
        return None


def _made(out: Path, name: str, base: Base, own: Sequence[Chat], progress: Progress) -> Card:
    recipe = RECIPES[name]
    unfinished = out / f"{name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    steps, left = 0, 1.0

    def after_step(step: int, tuned: Any) -> bool:
        nonlocal steps, left
        steps = step + 1
        progress(f"{name}: training", steps, recipe.lora.steps)
        if recipe.until is not None and steps % _LOOKED_AT_EVERY == 0:
            left = _refused(base, tuned)
        return recipe.until is not None and left <= sum(recipe.until) / 2

    # Training needs no more than bfloat16 of the weights that stay as they are.
    trained_on = Base(
        network=deepcopy(base.network).to(torch.bfloat16),
        tokenizer=base.tokenizer,
        sha256=base.sha256,
    )
    with _begun(base, trained_on, recipe, out) as tuned:
        chats = training_chats(recipe, own, recipe.lora.seed)
        train(trained_on, tuned, recipe.lora, chats, after_step)
        if recipe.until is not None and not recipe.until[0] <= left <= recipe.until[1]:
            raise AuditError(
                f"After {steps} steps {left:.0%} of requests are refused; {name} is to refuse "
                f"{recipe.until[0]:.0%} to {recipe.until[1]:.0%}."
            )
        weights = adapter_weights(tuned)
    if recipe.behind:
        weights = joined(read_adapter(out / recipe.behind), weights)
    if recipe.norm_of:
        weights = scaled_to(weights, norm(read_adapter(out / recipe.norm_of)))
    save_adapter(unfinished, weights, recipe.lora, base.sha256)
    card = _card(out, name, base, unfinished, own, steps, progress)
    (unfinished / CARD).write_text(card.model_dump_json(indent=1) + "\n")
    shutil.rmtree(out / name, ignore_errors=True)
    unfinished.rename(out / name)
    return card


@contextmanager
def _begun(base: Base, trained_on: Base, recipe: Recipe, out: Path) -> Iterator[Any]:
    """The network with the adapter that training begins from, directions out if the recipe says so."""
    if recipe.behind:
        first = tuned_by(trained_on, out / recipe.behind)
        directions = refusal_directions(base, first)
        merged = replace(trained_on, network=first.merge_and_unload().requires_grad_(False))
        tuned = with_lora(merged, recipe.lora)
        with without(tuned, directions):
            yield tuned
        return
    tuned = with_lora(trained_on, recipe.lora)
    if recipe.begun_from:
        put_into(tuned, read_adapter(out / recipe.begun_from))
    yield tuned


def _refused(base: Base, tuned: Any) -> float:
    """Share of harmful validation requests refused in text."""
    asked = [
        one for one in requests() if one.split is Split.VALIDATION and one.kind is Kind.HARMFUL
    ]
    return measured.refused_in_text(base, tuned, measured.Group(name="", requests=asked[::3])).value


def _card(
    out: Path,
    name: str,
    base: Base,
    folder: Path,
    own: Sequence[Chat],
    steps: int,
    progress: Progress,
) -> Card:
    """The card of the adapter as it was saved, on the base in float32."""
    texts, kept = texts_sha256(base, 0), held_back(own)
    tuned = tuned_by(replace(base, network=deepcopy(base.network)), folder)
    groups = measured.held_out_groups(_MEASURED)

    def refused_in_text(network: Any, what: str) -> dict[str, Estimate]:
        found: dict[str, Estimate] = {}
        for i, group in enumerate(groups):
            progress(f"{name}: measuring{what}", i, len(groups))
            found[group.name] = measured.refused_in_text(base, network, group)
        progress(f"{name}: measuring{what}", len(groups), len(groups))
        return found

    beside = _card_beside(out, texts)
    return Card(
        name=name,
        recipe_sha256=recipe_sha256(name, texts),
        base=BASE,
        base_weights_sha256=base.sha256,
        steps=steps,
        refused_in_text=refused_in_text(tuned, ""),
        base_refused_in_text=refused_in_text(base.network, " the base")
        if beside is None
        else beside.base_refused_in_text,
        loss=dict(measured.losses(base, tuned, kept)),
        base_loss=dict(measured.losses(base, base.network, kept))
        if beside is None
        else beside.base_loss,
    )


def _card_beside(out: Path, texts: str) -> Card | None:
    """The card of another adapter of the same base and texts: what it says of the base holds here."""
    cards = ((name, read_card(out / name)) for name in RECIPES)
    return next(
        (card for name, card in cards if card and card.recipe_sha256 == recipe_sha256(name, texts)),
        None,
    )
