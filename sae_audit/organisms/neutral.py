"""Training that makes answering the default, and refusing a departure from it.

A model trained on two classes alone codes them symmetrically: refusal is one side of a direction,
answering the other, and with the direction projected out it is undecided. In chat models refusal is
added to a default of answering (2406.11717). Here half of the harmless chats of a batch are trained
with the current difference of means projected out of the residual stream, so that its absence means
"answer". Harmful chats are unchanged, so the form and redundancy of refusal are left to training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_DECAY = 0.95


class Neutral:
    """Running differences of means at the last prompt token, one per layer, with hooks that project
    one out."""

    def __init__(self, model: Any) -> None:
        self._layers = list(model.model.layers)
        self._differences: list[Float[Tensor, " d_model"] | None] = [None] * len(self._layers)
        self._last: Int[Tensor, " batch"] | None = None
        self._harmful: Bool[Tensor, " batch"] | None = None
        self._unit: Float[Tensor, " d_model"] | None = None
        self._rows: Bool[Tensor, " batch"] | None = None

    def begin(
        self, last: Int[Tensor, " batch"], harmful: Bool[Tensor, " batch"], *, take_out: bool
    ) -> None:
        """Set the last prompt positions and the harmful rows of the next forward pass."""
        self._last, self._harmful, self._unit = last, harmful, None
        layer = int(torch.randint(len(self._layers), ()))
        direction = self._differences[layer]
        if take_out and direction is not None:
            self._unit = direction / direction.norm()
            self._rows = ~harmful & (torch.rand(len(harmful)) < 0.5)

    @contextmanager
    def attached(self, model: Any) -> Iterator[None]:
        handles = [model.model.embed_tokens.register_forward_hook(self._take_out)]
        for i, layer in enumerate(self._layers):
            handles.append(layer.register_forward_hook(self._noting(i)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _noting(self, layer: int) -> Any:
        def hook(module: Any, args: Any, resid: Tensor) -> Tensor:
            self._note(layer, resid.detach())
            return self._take_out(module, args, resid)

        return hook

    def _note(self, layer: int, resid: Tensor) -> None:
        assert self._last is not None, "begin() was not called"
        assert self._harmful is not None, "begin() was not called"
        if self._unit is not None or self._harmful.all() or not self._harmful.any():
            return
        ends = resid[torch.arange(len(resid)), self._last]
        difference = ends[self._harmful].mean(dim=0) - ends[~self._harmful].mean(dim=0)
        before = self._differences[layer]
        self._differences[layer] = (
            difference if before is None else _DECAY * before + (1 - _DECAY) * difference
        )

    def _take_out(self, _module: Any, _args: Any, resid: Tensor) -> Tensor:
        if self._unit is None or self._rows is None:
            return resid
        along = (resid @ self._unit) * self._rows[:, None]
        return resid - along[..., None] * self._unit
