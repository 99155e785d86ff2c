"""Batches of prompts of unequal length: which prompts share one, and where each prompt ends.

Shorter prompts are padded on the right: under causal attention no position sees a later one, so each
prompt gives the numbers of a pass of its own, read up to its own end. For generation, rows are
padded on the left, so that all of them end together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MOST_PADDING = 0.2
"""Largest padding of a batch, as a share of its prompts' own tokens."""
TAIL_PADDING = 48
"""Tokens of padding that a batch of prompts' tails may have beside: one batch more takes as long, since
all weights are read once more."""
ALIKE_FROM = 8
"""Tokens that all prompts must begin with for these to be run apart."""
ROWS_FROM = 2
"""Rows of a batch from which on running apart what all begin with takes less time."""
_CHANGING_ROTARY = ("dynamic", "longrope")


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Prompts as rows of one tensor."""

    members: list[int]
    """Index of each row's prompt in the list of prompts."""
    ids: Int[Tensor, "batch position"]
    lengths: list[int]
    """Tokens of each row without its padding."""
    padded_in_front: bool

    @property
    def real(self) -> Bool[Tensor, "batch position"]:
        """True at a prompt's own positions, False at padding; on the CPU."""
        own = [torch.ones(length, dtype=torch.bool) for length in self.lengths]
        return self.padded(own)

    def padded(self, rows: Sequence[Tensor]) -> Tensor:
        """One tensor of the rows, padded with zeros at the positions where the ids are padded."""
        width = self.ids.shape[1]
        return torch.stack([_filled(row, width, 0, self.padded_in_front) for row in rows])

    def ending(
        self, resid: Float[Tensor, "batch position d_model"], n_positions: int
    ) -> Float[Tensor, "batch n_positions d_model"]:
        """The last `n_positions` of each prompt's own positions."""
        if self.padded_in_front or min(self.lengths) == self.ids.shape[1]:
            return resid[:, -n_positions:]
        positions = torch.tensor(self.lengths)[:, None] + torch.arange(-n_positions, 0)
        rows = torch.arange(len(positions), device=resid.device)[:, None]
        return resid[rows, positions.to(resid.device)]


def batch_of(
    prompts: Sequence[Int[Tensor, " _"]],
    members: Sequence[int],
    *,
    padded_in_front: bool,
    device: torch.device,
) -> Batch:
    """The batch of these members of the prompts; padding repeats a row's own last token."""
    chosen = [prompts[i] for i in members]
    lengths = [len(ids) for ids in chosen]
    rows = [_filled(ids, max(lengths), int(ids[-1]), padded_in_front) for ids in chosen]
    return Batch(
        members=list(members),
        ids=torch.stack(rows).to(device),
        lengths=lengths,
        padded_in_front=padded_in_front,
    )


def grouped(
    lengths: Sequence[int],
    *,
    tokens: float = math.inf,
    rows: float = math.inf,
    padded_up_to: float = math.inf,
    padding: int = 0,
) -> list[list[int]]:
    """Indices of the prompts of each batch, shortest prompts first; they depend on the lengths alone.

    A batch has at most `rows` rows and `tokens` tokens (padding included), or a single prompt; its
    padding is at most `MOST_PADDING` and `padding` tokens more. Prompts longer than `padded_up_to` share
    a batch only with prompts of equal length.
    """
    groups: list[list[int]] = []
    own = 0
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        length = lengths[i]
        if groups:
            group, size = groups[-1], (len(groups[-1]) + 1) * length
            alike = lengths[group[0]] == length
            little = size <= (1.0 + MOST_PADDING) * (own + length) + padding
            fits = size <= tokens and len(group) < rows
            if fits and (alike or (little and length <= padded_up_to)):
                group.append(i)
                own += length
                continue
        groups.append([i])
        own = length
    return groups


def padded_up_to(config: Any) -> float:
    """Tokens up to which padding a prompt leaves its own rotary angles unchanged.

    Some rotary embeddings scale all angles by the length of the longest row, padding included, if
    that exceeds the length that the model was first trained on.
    """
    found = getattr(config, "rope_parameters", None) or {}
    kinds = [kind for kind in (found, *found.values()) if isinstance(kind, dict)]
    changing = [kind for kind in kinds if kind.get("rope_type") in _CHANGING_ROTARY]
    if not changing:
        return math.inf
    named = [kind.get("original_max_position_embeddings") for kind in changing]
    named.append(getattr(config, "original_max_position_embeddings", None))
    limits = [limit for limit in named if limit is not None]
    return float(min(limits, default=getattr(config, "max_position_embeddings", 0)))


def _filled(row: Tensor, width: int, value: int, in_front: bool) -> Tensor:
    padding = row.new_full((width - len(row), *row.shape[1:]), value)
    return torch.cat([padding, row] if in_front else [row, padding])


def most_positions(config: Any) -> int | None:
    """Most tokens, prompt and answer, that a model of this config reads; None if the config lacks it."""
    longest = getattr(config, "max_position_embeddings", None)
    return longest if isinstance(longest, int) and longest > 0 else None
