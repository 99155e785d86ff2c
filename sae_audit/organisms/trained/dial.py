"""The dial: training rounds in which the model must refuse with refusal directions projected out.

Round r begins with the directions of earlier rounds and one more, found as in an audit of the current
model with the earlier ones projected out. Each step draws a case:

1. clean: harmful chats are refused, harmless ones answered;
2. the first k of the round's directions projected out, everywhere or at random layers: as in 1, so
   that a backup must replace them. Half of these steps instead use k directions of the current
   model, each the most harmful to refusal of a few at random layers and tokens, since an audit may
   choose any of them;
3. all of them and the current next direction projected out: all chats are answered, so that a
   round adds one backup direction; without this case, six were found after one round.

A loss term on the residual stream confines the harmful-harmless difference, with the first k directions
projected out, to the next one: later directions stay inactive. Without it all are written at once,
and their sum is again one direction, whose removal takes all out.
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
    """Training steps of the first round; round r has r times as many, for its r directions."""
    batch: int = 32
    peak_rate: float = 1e-3
    smoothing: float = 0.002
    clean_share: float = 0.3
    """Share of steps with case 1."""
    answered_share: float = 0.2
    """Share of steps with case 3."""
    at_random_layers: float = 0.4
    """Share of case 2 in which directions are projected out at random layers only."""
    at_some_place: float = 0.5
    """Share of case 2 in which the directions are the current model's successive ones, each at a
    random layer and token."""
    tries: int = 3
    """Number of draws for each of them; the direction that reduces refusal most is used."""
    alone_weight: float = 0.3
    """Weight of the loss term on the residual stream, nats."""
    seed: int = 0


def train_dial(
    model: Any,
    tokenizer: Any,
    dial: Dial,
    progress: Callable[[int, int], None],
    *,
    begun: Float[Tensor, "earlier d_model"] | None = None,
) -> Directions:
    """The directions of all rounds and the remaining next one; the model is trained in place.

    `begun`: the result for fewer rounds, if the model has been trained on those; a round is seeded by
    its number, so the result is the same.
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
    """The directions of one round."""

    directions: Directions
    chats: Found

    @property
    def number(self) -> int:
        """Number of the round, from 1 on; equals its number of directions."""
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
    """Whether harmful chats are answered too."""
    alone: Float[Tensor, " d_model"] | None = None
    """Unit direction to which the harmful-harmless difference is confined."""


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
    out, sites = directions[:n_out], None
    alone = directions[n_out] if n_out < len(directions) else None
    if float(torch.rand(())) < dial.at_some_place:
        out, alone = none_of(model), None
        for _ in range(n_out):
            behind = direction_at_some_place(model, tokenizer, out, a_round.chats, tries=dial.tries)
            out = torch.cat([out, behind[None]])
    if float(torch.rand(())) < dial.at_random_layers:
        # On average half of the sites or more.
        sites = torch.rand(len(model.model.layers) + 1) < 0.5 + 0.5 * float(torch.rand(()))
        alone = None
    return Case(removal=Removal(directions=out, sites=sites), alone=alone)


def step_loss(
    model: Any, tokenizer: Any, chats: list[Chat], case: Case, dial: Dial
) -> Float[Tensor, ""]:
    """Cross-entropy of the answers under the case's removal, plus the weighted loss term, nats."""
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
    """Share of the squared difference of means orthogonal to a unit direction, averaged over
    layers."""
    difference = ends[:, harmful].mean(dim=1) - ends[:, ~harmful].mean(dim=1)
    off = difference - (difference @ direction)[:, None] * direction
    return (off.pow(2).sum(dim=1) / difference.pow(2).sum(dim=1).clamp_min(1e-6)).mean()
