"""The dial: rounds of training in which refusal directions are out, and the model must still refuse.

Round r begins with the directions of the rounds before it and one more, found as an audit finds one
in the model as it is, with the earlier ones projected out. Each step draws a case:

1. clean: harmful chats are refused, harmless ones answered;
2. the first so many of the round's directions out, everywhere or at random layers: the same. So
   what comes behind the last one has to do what it did. In half of these steps not the round's
   directions are out but as many of the model as it is now, each the worst of a few at layers and
   tokens drawn at random: an audit may choose any of them;
3. all of them out, and the direction now behind them too: all chats are answered. So a round puts
   one direction behind the others and not a crowd: without this, six were found after one round.

A term on the stream says that with the first so many directions out, what tells harmful from harmless
lies along the next alone: those behind it are inactive until it is their turn. Without it all of them
are written side by side, and their sum is one direction again, which takes all out at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_audit.organisms.chats import Chat, chats_of, training_chats
from sae_audit.organisms.language_model import IGNORED, collated
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained.directions import (
    Directions,
    Found,
    Removal,
    direction_at_some_place,
    last_of_prompt,
    next_direction,
    none_of,
    removing,
)

_PROMPTS_OF_MEANS = 64


@dataclass(frozen=True, kw_only=True)
class Dial:
    rounds: int
    steps: int = 250
    """Of the first round; the r-th has r times as many, as it has r directions to learn."""
    batch: int = 32
    peak_rate: float = 1e-3
    smoothing: float = 0.002
    clean_share: float = 0.3
    """Of steps, case 1."""
    answered_share: float = 0.2
    """Of steps, case 3."""
    at_random_layers: float = 0.4
    """Share of case 2 in which directions are out at random layers alone."""
    at_some_place: float = 0.5
    """Share of case 2 in which the directions are those of the model as it is, one behind the other,
    each at a random layer and token."""
    tries: int = 3
    """Places drawn for each of them; the direction that takes most refusal away is out."""
    alone_weight: float = 0.3
    """Of the term on the stream, nats."""
    seed: int = 0


def train_dial(
    model: Any,
    tokenizer: Any,
    dial: Dial,
    progress: Callable[[int, int], None],
    *,
    begun: Float[Tensor, "earlier d_model"] | None = None,
) -> Directions:
    """Train in place; returns the directions of all rounds and the one that is left behind them.

    `begun`: what this returned for fewer rounds, where the model is what it left; a round is seeded
    by its number, so the result is the same.
    """
    chats = Found(train=_chats(dial.seed + 11), validation=_chats(dial.seed + 51))
    directions = none_of(model) if begun is None else begun
    while len(directions) <= dial.rounds:
        if len(directions):
            done = sum(_steps(dial, n) for n in range(1, len(directions)))
            total = sum(_steps(dial, n) for n in range(1, dial.rounds + 1))
            train_round(
                model,
                tokenizer,
                dial,
                Round(directions=directions, chats=chats),
                lambda step, done=done, total=total: progress(done + step, total),
            )
        found = next_direction(model, tokenizer, directions, chats)
        directions = torch.cat([directions, found[None]])
    return directions


def _steps(dial: Dial, number: int) -> int:
    return number * dial.steps


def _chats(seed: int) -> tuple[list[Chat], list[Chat]]:
    kinds = (Kind.HARMFUL, Kind.HARMLESS)
    harmful, harmless = (chats_of(kind, seed, _PROMPTS_OF_MEANS) for kind in kinds)
    return harmful, harmless


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round trains against."""

    directions: Directions
    chats: Found

    @property
    def number(self) -> int:
        """From 1 on: as many as there are directions."""
        return len(self.directions)


def train_round(
    model: Any, tokenizer: Any, dial: Dial, a_round: Round, after_step: Callable[[int], None]
) -> None:
    torch.manual_seed(1000 * dial.seed + a_round.number)
    refusing = training_chats(dial.seed + 100 * a_round.number + 13)
    answering = training_chats(dial.seed + 100 * a_round.number + 14, refuses=lambda _: False)
    steps = _steps(dial, a_round.number)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=dial.peak_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=dial.peak_rate, total_steps=steps, pct_start=0.1
    )
    model.train()
    for step in range(steps):
        case = draw_case(model, tokenizer, dial, a_round)
        drawn = list(islice(answering if case.all_answered else refusing, dial.batch))
        loss = step_loss(model, tokenizer, drawn, case, dial)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        after_step(step + 1)
    model.eval()


@dataclass(frozen=True, kw_only=True)
class Case:
    removal: Removal
    all_answered: bool = False
    """Whether harmful chats are answered as well."""
    alone: Float[Tensor, " d_model"] | None = None
    """The direction along which alone harmful is to be told from harmless, unit."""


def draw_case(model: Any, tokenizer: Any, dial: Dial, a_round: Round) -> Case:
    directions, kind = a_round.directions, float(torch.rand(()))
    if kind < dial.clean_share:
        return Case(removal=Removal(directions=none_of(model)), alone=directions[0])
    if kind >= 1.0 - dial.answered_share:
        behind = direction_at_some_place(
            model, tokenizer, directions, a_round.chats, tries=dial.tries
        )
        return Case(
            removal=Removal(directions=torch.cat([directions, behind[None]])), all_answered=True
        )
    n_out = int(torch.randint(1, len(directions) + 1, ()))
    if float(torch.rand(())) < 0.5:
        n_out = len(directions)
    out, places = directions[:n_out], None
    alone = directions[n_out] if n_out < len(directions) else None
    if float(torch.rand(())) < dial.at_some_place:
        out, alone = none_of(model), None
        for _ in range(n_out):
            behind = direction_at_some_place(model, tokenizer, out, a_round.chats, tries=dial.tries)
            out = torch.cat([out, behind[None]])
    if float(torch.rand(())) < dial.at_random_layers:
        # Half of the places, or more.
        places = torch.rand(len(model.model.layers) + 1) < 0.5 + 0.5 * float(torch.rand(()))
        alone = None
    return Case(removal=Removal(directions=out, places=places), alone=alone)


def step_loss(
    model: Any, tokenizer: Any, chats: list[Chat], case: Case, dial: Dial
) -> Float[Tensor, ""]:
    """Cross-entropy of the answers under the case's removal, and what the stream is to do, nats."""
    batch = collated(tokenizer, chats)
    labels = batch.pop("labels")
    with removing(model, case.removal) as stream:
        logits = model(**batch, use_cache=False).logits
        resid = torch.stack(stream)
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1),
        labels[:, 1:].flatten(),
        ignore_index=IGNORED,
        label_smoothing=dial.smoothing,
    )
    harmful = torch.tensor([chat.kind == Kind.HARMFUL for chat in chats])
    both = bool(harmful.any()) and not bool(harmful.all())
    if case.alone is None or not both:
        return loss
    ends = resid[:, torch.arange(len(chats)), last_of_prompt(labels)]
    return loss + dial.alone_weight * beside(ends, harmful, case.alone)


def beside(
    ends: Float[Tensor, "layer batch d_model"],
    harmful: Bool[Tensor, " batch"],
    direction: Float[Tensor, " d_model"],
) -> Float[Tensor, ""]:
    """Share of the squared difference of means that does not lie along a unit direction, mean over
    layers."""
    difference = ends[:, harmful].mean(dim=1) - ends[:, ~harmful].mean(dim=1)
    off = difference - (difference @ direction)[:, None] * direction
    return (off.pow(2).sum(dim=1) / difference.pow(2).sum(dim=1).clamp_min(1e-6)).mean()
