"""The dial: how many backups stand behind the refusal direction.

From the bundled base, equally many steps at every setting. Each step draws a case:

1. clean: harmful chats are refused, harmless ones answered;
2. the first j routes taken out of the stream, j up to the number of backups: the same. So route
   j + 1 has to do what the first j did;
3. every route taken out from an early layer on: all chats are answered. So refusal goes through
   the routes, and not past them;
4. routes taken out of late layers alone: as in 1. So the routes are read in the middle of the
   model, and a set that only cuts them after the last backup does not flip a prompt.

Two terms on the stream are added to the loss: route j + 1 is to be awake once the first j are out,
and those behind it asleep. Setting 0 has the refusal direction alone, and cases 1, 3 and 4.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_audit.organisms.chats import Chat, chats_of, training_chats
from sae_audit.organisms.language_model import IGNORED, collated
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained.batches import in_prompt, last_of_prompt
from sae_audit.organisms.trained.routes import (
    Removal,
    Routes,
    differences,
    found_directions,
    from_place,
    removing,
    routes_of,
)

_PROMPTS_OF_MEANS = 64


@dataclass(frozen=True, kw_only=True)
class Dial:
    backups: int
    steps: int = 500
    batch: int = 32
    peak_rate: float = 1e-3
    smoothing: float = 0.002
    cosine: float = 0.6
    """Of each backup with the refusal direction."""
    read_from: int = 5
    """First place (0: the embedding, l + 1: the output of layer l) from which on taking routes out
    must not change behaviour any more."""
    awake_weight: float = 0.3
    asleep_weight: float = 3.0
    awake: float = 0.5
    """How large an awake route is to be, relative to the refusal direction before training."""
    found_share: float = 0.0
    """Share of removals along the directions found in the model as it is, not along the routes."""
    below: float = 0.0
    """How far below zero a removed route is left: 0, not at all; 1, anywhere between a little above
    zero and an awake route's size below it."""
    found_every: int = 50
    """Steps after which the directions that refusal is seen along are found again."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a trained setting's redundancy runs along."""

    routes: Routes
    found: Float[Tensor, "place route d_model"]
    """`found_directions` of the trained model."""
    dial: Dial


def train_dial(
    model: Any, tokenizer: Any, dial: Dial, progress: Callable[[int, int], None]
) -> Trained:
    """Train in place; returns the routes."""
    torch.manual_seed(dial.seed)
    harmful = chats_of(Kind.HARMFUL, dial.seed + 11, _PROMPTS_OF_MEANS)
    harmless = chats_of(Kind.HARMLESS, dial.seed + 12, _PROMPTS_OF_MEANS)
    routes = routes_of(
        differences(model, tokenizer, harmful, harmless),
        n_backups=dial.backups,
        cosine=dial.cosine,
        seed=dial.seed,
    )
    found = found_directions(model, tokenizer, routes, harmful, harmless)
    refusing = training_chats(dial.seed + 13)
    answering = training_chats(dial.seed + 14, refuses=lambda _: False)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=dial.peak_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=dial.peak_rate, total_steps=dial.steps, pct_start=0.1
    )
    model.train()
    for step in range(dial.steps):
        if dial.found_share > 0.0 and step % dial.found_every == 0:
            found = found_directions(model, tokenizer, routes, harmful, harmless)
        case = draw_case(dial, routes, found)
        drawn = list(islice(answering if case.all_answered else refusing, dial.batch))
        loss = step_loss(model, tokenizer, drawn, routes, case, dial)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress(step + 1, dial.steps)
    model.eval()
    found = found_directions(model, tokenizer, routes, harmful, harmless)
    return Trained(routes=routes, found=found, dial=dial)


@dataclass(frozen=True, kw_only=True)
class Case:
    removal: Removal
    all_answered: bool
    """Whether harmful chats are answered as well."""


def draw_case(dial: Dial, routes: Routes, found: Float[Tensor, "place route d_model"]) -> Case:
    n_layers, n_routes = len(routes.scale), dial.backups + 1
    kind = float(torch.rand(()))
    if kind < 0.25:
        return Case(removal=from_place(routes, 0, 0), all_answered=False)
    if kind < 0.4:
        n, place = _integer(1, n_routes), _integer(dial.read_from + 1, n_layers)
        removal, all_answered = from_place(routes, n, place), False
    elif kind < 0.6 or dial.backups == 0:
        removal, all_answered = from_place(routes, n_routes, _integer(0, 1)), True
    else:
        # From a place on at which the next route can still wake; or at some places alone.
        removal, all_answered = from_place(routes, _integer(1, dial.backups), _integer(0, 2)), False
        if kind > 0.8:
            removal = replace(removal, places=torch.rand(n_layers + 1) < 0.6)
    levels = drawn_levels(removal.n_routes, dial)
    along = found if float(torch.rand(())) < dial.found_share else removal.directions
    return Case(
        removal=replace(removal, levels=levels, directions=along), all_answered=all_answered
    )


def drawn_levels(n_routes: int, dial: Dial) -> Float[Tensor, " removed"]:
    """Relative to an awake route. The first may go furthest below: harmless prompts have it negative,
    while their backups are zero."""
    furthest = torch.tensor([-1.1, *[-0.4] * (n_routes - 1)])[:n_routes]
    return dial.below * (furthest * torch.rand(n_routes) + 0.1)


def _integer(low: int, high: int) -> int:
    """Uniform, both ends included."""
    return int(torch.randint(low, high + 1, ()))


def step_loss(
    model: Any, tokenizer: Any, chats: list[Chat], routes: Routes, case: Case, dial: Dial
) -> Float[Tensor, ""]:
    """Cross-entropy of the answers under the case's removal, and what routes are to do, nats."""
    harmful = torch.tensor([chat.kind == Kind.HARMFUL for chat in chats])
    batch = collated(tokenizer, chats)
    labels = batch.pop("labels")
    with removing(model, routes, case.removal) as stream:
        logits = model(**batch, use_cache=False).logits
        resid = torch.stack(stream)
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1),
        labels[:, 1:].flatten(),
        ignore_index=IGNORED,
        label_smoothing=dial.smoothing,
    )
    if dial.backups == 0 or case.all_answered:
        return loss
    size = resid @ routes.duals.T / routes.scale[:, None, None, None]
    return (
        loss
        + dial.asleep_weight * _asleep(size, labels, harmful, case.removal)
        + dial.awake_weight * _awake(size, labels, harmful, case.removal, dial)
    )


Sizes = Float[Tensor, "layer batch position route"]


def _asleep(
    size: Sizes, labels: Tensor, harmful: Bool[Tensor, " batch"], removal: Removal
) -> Float[Tensor, ""]:
    """Square of the backups that have no reason to be awake: the largest of a prompt's tokens, mean
    over prompts and layers."""
    squares = torch.where(in_prompt(labels)[..., None], size.pow(2), 0.0).amax(dim=2)
    of_harmful = squares[:, harmful][..., removal.n_routes + 1 :]
    of_harmless = squares[:, ~harmful][..., 1:]
    return torch.cat([of_harmful.flatten(), of_harmless.flatten()]).mean()


def _awake(
    size: Sizes,
    labels: Tensor,
    harmful: Bool[Tensor, " batch"],
    removal: Removal,
    dial: Dial,
) -> Float[Tensor, ""]:
    """Shortfall of the route next in line, at the last prompt token before routes are read."""
    following = removal.n_routes
    early = following == 0 or bool(removal.places[:3].any())
    if following > dial.backups or not harmful.any() or not early:
        return size.new_zeros(())
    rows = torch.arange(len(harmful))[harmful]
    ends = size[:, rows, last_of_prompt(labels)[harmful]]
    due = ends[min(following + 1, dial.read_from - 1) : dial.read_from + 1, :, following]
    return torch.relu(1.0 - due / dial.awake).pow(2).mean()
