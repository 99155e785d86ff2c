"""Prompts of unequal length side by side: which of them share a batch, and where each one ends.

Shorter ones are padded behind: under causal attention no position sees what comes after it, so each
prompt's own numbers are those of a pass alone. What is read of a row is read up to its own end.
Where answers are written on, rows are padded in front instead, so that all of them end together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MOST_PADDING = 0.2
"""Padding that a batch may hold, as a share of its prompts' own tokens."""
_CHANGING_ROTARY = ("dynamic", "longrope")


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Some prompts as rows of one tensor."""

    members: list[int]
    """Which prompts, by their place among those asked about."""
    ids: Int[Tensor, "batch position"]
    lengths: list[int]
    """Of each row, without its padding."""
    padded_in_front: bool

    @property
    def real(self) -> Bool[Tensor, "batch position"]:
        """Positions that are a prompt's own; on the CPU."""
        own = [torch.ones(length, dtype=torch.bool) for length in self.lengths]
        return self.padded(own)

    def padded(self, rows: Sequence[Tensor]) -> Tensor:
        """One tensor over each prompt's own positions, padded with zeros as the ids are."""
        width = self.ids.shape[1]
        return torch.stack([_filled(row, width, 0, self.padded_in_front) for row in rows])

    def ending(
        self, resid: Float[Tensor, "batch position d_model"], n_positions: int
    ) -> Float[Tensor, "batch n_positions d_model"]:
        """Each prompt's own last positions."""
        if self.padded_in_front or min(self.lengths) == self.ids.shape[1]:
            return resid[:, -n_positions:]
        places = torch.tensor(self.lengths)[:, None] + torch.arange(-n_positions, 0)
        rows = torch.arange(len(places), device=resid.device)[:, None]
        return resid[rows, places.to(resid.device)]


def batch_of(
    prompts: Sequence[Int[Tensor, " _"]],
    members: Sequence[int],
    *,
    padded_in_front: bool,
    device: torch.device,
) -> Batch:
    """These members of the prompts; padding repeats a row's own last token, which any model knows."""
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
) -> list[list[int]]:
    """Which prompts share a batch, the shorter ones first: decided by their lengths alone.

    A batch holds at most so many `rows` and `tokens`, padding counted, or a single prompt; what
    padding adds is at most `MOST_PADDING` of the prompts' own. Prompts longer than `padded_up_to`
    share one only with equally long ones.
    """
    groups: list[list[int]] = []
    own = 0
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        length = lengths[i]
        if groups:
            group, size = groups[-1], (len(groups[-1]) + 1) * length
            alike = lengths[group[0]] == length
            little = size <= (1.0 + MOST_PADDING) * (own + length)
            fits = size <= tokens and len(group) < rows
            if fits and (alike or (little and length <= padded_up_to)):
                group.append(i)
                own += length
                continue
        groups.append([i])
        own = length
    return groups


def padded_up_to(config: Any) -> float:
    """Tokens up to which a prompt may be padded without turning its own positions differently.

    Some rotary embeddings turn all positions by how long the longest row is, padding included, once
    that is beyond the length that the model was first trained on.
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
    """Tokens that a model of this config reads at most, prompt and answer; None if it does not say."""
    longest = getattr(config, "max_position_embeddings", None)
    return longest if isinstance(longest, int) and longest > 0 else None
