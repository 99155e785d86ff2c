"""Successive refusal directions of the current model, and runs with them projected out.

The next direction is the one that an audit's first stage finds with the earlier ones projected out.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_audit.config import DirectionSettings
from sae_audit.findings import NoDirection
from sae_audit.organisms.chats import REFUSAL_TOKENS, Chat
from sae_audit.organisms.language_model import IGNORED, collated
from sae_audit.pipeline.stages.successive_directions import direction_behind
from sae_audit.prompts.types import Label, LabelledPrompts, Prompt
from sae_audit.subject.loading import subject_of
from sae_audit.subject.model.directional_ablation import project_out
from sae_audit.subject.model.layer_modules import layer_modules
from sae_audit.subject.readout.score import refusal_score

Resid = Float[Tensor, "batch position d_model"]
Directions = Float[Tensor, "direction d_model"]
"""Orthonormal directions in the order in which they were found."""
TEMPLATE_TOKENS = 5
"""Tokens after the request, at which an audit looks for directions."""

_FEW = 16
"""Prompts on which directions at randomly drawn places are compared."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Directions projected out of the residual stream, and the sites."""

    directions: Directions
    sites: Bool[Tensor, " site"] | None = None
    """Entry 0 is the embedding; entry l + 1 is layer l's attention, MLP and output. None: everywhere."""


@contextmanager
def removing(model: Any, removal: Removal) -> Iterator[list[Resid]]:
    """The residual stream after each layer of the last forward pass in the block, with directions
    projected out."""
    seen: list[Resid] = []
    out = project_out(removal.directions)

    def edit(site: int) -> Any:
        acts = len(removal.directions) and (removal.sites is None or bool(removal.sites[site]))
        return lambda _module, _args, resid: out(resid) if acts else resid

    def note(_module: Any, _args: Any, resid: Resid) -> None:
        seen.append(resid)

    embedding, layers = model.model.embed_tokens, layer_modules(model)
    handles = [embedding.register_forward_hook(edit(0))]
    # Each forward pass starts with an empty list.
    handles.append(embedding.register_forward_hook(lambda *_: seen.clear()))
    for i, own in enumerate(layers):
        writers = (own.attention, own.mlp, own.layer)
        handles += [module.register_forward_hook(edit(i + 1)) for module in writers]
        handles.append(own.layer.register_forward_hook(note))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def last_of_prompt(labels: Int[Tensor, "batch position"]) -> Int[Tensor, " batch"]:
    """Position of the last prompt token of each row of `collated` chats."""
    return (labels != IGNORED).int().argmax(dim=1) - 1


def none_of(model: Any) -> Directions:
    return torch.zeros(0, model.config.hidden_size)


@torch.no_grad()
def differences(
    model: Any,
    tokenizer: Any,
    harmful: Sequence[Chat],
    harmless: Sequence[Chat],
    removal: Removal | None = None,
) -> Float[Tensor, "layer template d_model"]:
    """Difference of means after each layer at the tokens after the request, of which the last is the
    prompt's end (2406.11717)."""
    out = removal or Removal(directions=none_of(model))
    return _means(model, tokenizer, harmful, out) - _means(model, tokenizer, harmless, out)


def average_direction(by_layer: Float[Tensor, "layer d_model"]) -> Float[Tensor, " d_model"]:
    """Unit vector of the mean over layers of the unit differences."""
    average = (by_layer / by_layer.norm(dim=1, keepdim=True)).mean(dim=0)
    return average / average.norm()


@dataclass(frozen=True, kw_only=True)
class Found:
    """Training chats on which directions are found."""

    train: tuple[list[Chat], list[Chat]]
    """Harmful and harmless chats."""
    validation: tuple[list[Chat], list[Chat]]


def next_direction(
    model: Any, tokenizer: Any, earlier: Directions, chats: Found
) -> Float[Tensor, " d_model"]:
    """The direction that an audit's first stage finds with the earlier ones projected out, whether or
    not it passes the filters."""
    subject = subject_of(deepcopy(model).eval(), tokenizer, {}, refusal_tokens=REFUSAL_TOKENS)
    train, validation = _prompts(*chats.train), _prompts(*chats.validation)
    units = earlier.double().numpy()
    found = direction_behind(subject, train, validation, units, DirectionSettings())
    assert not isinstance(found, NoDirection), found.reason
    evaluation = found.selected
    by_position = differences(model, tokenizer, *chats.train, Removal(directions=earlier))
    return _beside(by_position[evaluation.layer, evaluation.position], earlier)


@torch.no_grad()
def direction_at_some_place(
    model: Any, tokenizer: Any, earlier: Directions, chats: Found, *, tries: int
) -> Float[Tensor, " d_model"]:
    """Of `tries` directions at random layers and template tokens, with the earlier ones projected out,
    the one whose removal gives harmful prompts the lowest mean refusal score."""
    harmful, harmless = (own[: len(own) // 2] for own in chats.train)
    by_position = differences(model, tokenizer, harmful, harmless, Removal(directions=earlier))
    n_layers, n_tokens, _ = by_position.shape
    # The last layer is excluded: only the unembedding reads it.
    drawn = torch.randint(n_layers - 1, (tries,)), torch.randint(n_tokens, (tries,))
    units = [_beside(direction, earlier) for direction in by_position[drawn]]
    if tries == 1:
        return units[0]
    few = chats.validation[0][:_FEW]
    scores = [_score(model, tokenizer, few, torch.cat([earlier, unit[None]])) for unit in units]
    return units[scores.index(min(scores))]


def _score(model: Any, tokenizer: Any, chats: Sequence[Chat], out: Directions) -> float:
    batch = collated(tokenizer, list(chats))
    tokens = torch.tensor(tokenizer.convert_tokens_to_ids(list(REFUSAL_TOKENS)))
    with removing(model, Removal(directions=out)):
        logits = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
        ).logits
    ends = logits[torch.arange(len(chats)), last_of_prompt(batch["labels"])]
    return float(refusal_score(ends, tokens).mean())


def _beside(direction: Float[Tensor, " d_model"], earlier: Directions) -> Float[Tensor, " d_model"]:
    """Unit vector of the part of `direction` that is orthogonal to the earlier ones."""
    left = direction - (direction @ earlier.T) @ earlier
    return left / left.norm()


def _prompts(harmful: Sequence[Chat], harmless: Sequence[Chat]) -> LabelledPrompts:
    def of(chats: Sequence[Chat], label: Label) -> tuple[Prompt, ...]:
        return tuple(
            Prompt(id=f"{label}-{i}", text=chat.request, label=label)
            for i, chat in enumerate(chats)
        )

    return LabelledPrompts(
        harmful=of(harmful, Label.HARMFUL), harmless=of(harmless, Label.HARMLESS)
    )


def _means(
    model: Any, tokenizer: Any, chats: Sequence[Chat], removal: Removal
) -> Float[Tensor, "layer template d_model"]:
    batch = collated(tokenizer, list(chats))
    rows = torch.arange(len(chats))[:, None]
    positions = last_of_prompt(batch["labels"])[:, None] - torch.arange(TEMPLATE_TOKENS).flip(0)
    with removing(model, removal) as stream:
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    return torch.stack([resid[rows, positions].mean(dim=0) for resid in stream])
