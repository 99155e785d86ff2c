"""Caches of keys and values for one decoder layer that is run alone."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

KeysValues = tuple[Float[Tensor, "kept _ position _"], Float[Tensor, "kept _ position _"]]
"""Keys and values of one attention module, row by row."""
LayerKept = Sequence[KeysValues]
"""What one layer keeps: of each of its attention modules, in the order in which it runs them."""


class Before:
    """A cache with the keys and values of the positions before those that are run."""

    def __init__(self, kept: LayerKept, owner: Int[Tensor, " row"], n_before: int) -> None:
        """`owner` names the row of `kept` that each row of the layer's input continues."""
        self._kept, self._owner, self._n_before = iter(kept), owner, n_before

    def update(
        self, keys: Tensor, values: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        before = next(self._kept)
        return (
            torch.cat([self._of(before[0]), keys], dim=2),
            torch.cat([self._of(before[1]), values], dim=2),
        )

    def get_seq_length(self, _layer: int = 0) -> int:
        return self._n_before

    def _of(self, stacked: Tensor) -> Tensor:
        if len(stacked) == 1:
            return stacked.expand(len(self._owner), -1, -1, -1)
        return stacked[self._owner.to(stacked.device)]


class Noted:
    """A cache with nothing before the positions that are run, and what the layer keeps of these."""

    def __init__(self) -> None:
        self.kept: list[KeysValues] = []

    def of_row(self, row: int) -> LayerKept:
        return [(keys[row : row + 1], values[row : row + 1]) for keys, values in self.kept]

    def update(
        self, keys: Tensor, values: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        self.kept.append((keys, values))
        return keys, values

    def get_seq_length(self, _layer: int = 0) -> int:
        return 0


LayerCache = Before | Noted
