"""Ends of several prompts in one batch, with the arguments that decoder layers need for them.

Keys and values of what lies before the ends are those of the clean runs; or, if all prompts begin with
the same tokens and a change reaches these, those of the changed beginning, run once for all prompts.

Layer arguments other than the residual stream are taken from the clean runs: numbers and flags stay
unchanged; a tensor with an axis as long as the prompt (rotary angles, position ids, inputs for each
layer) is cut to the suffix; a mask over pairs of positions is cut to suffix by all earlier positions.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.subject.model.clean_run import CACHE, CleanRun
from sae_audit.subject.model.hooks import Resid
from sae_audit.subject.model.layer_caches import Before, LayerCache

_CAUSAL = ("attention_mask", "mask")
"""Layer arguments whose absence means plain causal attention."""


class Suffixes:
    """The last `n_positions` of several prompts, aligned at their ends.

    A shorter prompt is padded on the left with positions that nothing attends to; behind its first
    `n_alike` tokens if these are the same in all prompts and run apart.
    """

    def __init__(self, runs: Sequence[CleanRun], n_positions: int, n_alike: int = 0) -> None:
        self.n_positions = n_positions
        self._n_alike = n_alike
        self._runs = list(runs)
        self._n_keys = max(n_positions, *(run.length for run in runs))
        self._made: dict[tuple[Any, ...], Any] = {}

    def clean(self, layer: int) -> Resid:
        """`resid_post` of the clean runs, one row a prompt."""
        return self._once(
            ("clean", layer), lambda: self._aligned([run.resid[layer] for run in self._runs])
        )

    def selected(self, masks: Sequence[Bool[Tensor, " _"]]) -> Bool[Tensor, "prompt position"]:
        """Masks over whole prompts, cut to the suffix and padded with False."""
        return self._aligned(list(masks))

    def arguments(
        self, layer: int, owner: Int[Tensor, " row"], cache: LayerCache | None = None
    ) -> dict[str, Any]:
        """The layer's arguments other than the residual stream, one row for each prompt in `owner`.

        `cache` holds what lies before the suffix, if that is not the clean runs' own.

        Raises:
            AuditError: a number or flag differs between the prompts.
        """
        calls = [run.calls[layer] for run in self._runs]
        return {
            name: self._argument(name, [call[name] for call in calls], layer, owner, cache)
            for name in calls[0]
        }

    def device(self, layer: int) -> torch.device:
        """Device of a layer's residual stream; layers may be spread over several devices."""
        return self._runs[0].resid[layer].device

    def _argument(
        self,
        name: str,
        given: list[Any],
        layer: int,
        owner: Int[Tensor, " row"],
        cache: LayerCache | None,
    ) -> Any:
        first = next((one for one in given if one is not None), None)
        if first is CACHE:
            return self._prefix(layer, owner) if cache is None else cache
        if name in _CAUSAL and (first is None or isinstance(first, Tensor)):
            mask = self._once(("mask", *map(id, given)), lambda: self._mask(given))
            return None if mask is None else self._rows(mask, owner, layer)
        if isinstance(first, tuple | list):
            parts = [
                self._argument(name, list(each), layer, owner, cache)
                for each in zip(*given, strict=True)
            ]
            return type(first)(parts)
        if isinstance(first, Tensor):
            return self._tensor(name, given, layer, owner)
        if any(one != first for one in given):
            raise AuditError(
                f"The model hands layer {layer} another {name} for each prompt, which an audit cannot "
                "put side by side."
            )
        return first

    def _tensor(
        self, name: str, given: list[Tensor], layer: int, owner: Int[Tensor, " row"]
    ) -> Tensor:
        key = (name, *map(id, given))
        axis = _position_axis(given[0], self._runs[0].length)
        if axis is None:
            if any(not torch.equal(one, given[0]) for one in given[1:]):
                raise AuditError(
                    f"The model hands layer {layer} another {name} for each prompt, and it has no axis "
                    "as long as the prompt."
                )
            return given[0]
        over_keys = axis == given[0].ndim - 1 and axis >= 2 and given[0].shape[axis - 1] == 1
        aligned = self._aligned_keys if over_keys else self._aligned
        stacked = self._once(key, lambda: aligned([one.movedim(axis, 0) for one in given]))
        # (prompt, position, leading, ...) with one leading entry, or one for each head.
        rows = self._rows(stacked, owner, layer)
        if rows.shape[2] > 1:
            rows = rows.expand(len(owner), *rows.shape[1:])
        return rows.movedim(1, axis + 1).flatten(0, 1)

    def _prefix(self, layer: int, owner: Int[Tensor, " row"]) -> Before | None:
        n_prefix = self._n_keys - self.n_positions
        if n_prefix == 0:
            return None
        kept = [run.kept[layer] for run in self._runs]
        stacked = self._once(
            ("prefix", layer),
            lambda: [
                tuple(
                    self._aligned_keys([t.transpose(0, 1) for t in tensors])[:, :n_prefix]
                    .transpose(1, 2)
                    .contiguous()
                    for tensors in zip(*both, strict=True)
                )
                for both in zip(*kept, strict=True)
            ],
        )
        return Before(stacked, owner, n_prefix)

    def _once(self, key: tuple[Any, ...], make: Any) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _rows(self, stacked: Tensor, owner: Int[Tensor, " row"], layer: int) -> Tensor:
        # One prompt's tensors broadcast over the rows; copies are needed only where rows differ.
        rows = stacked if len(self._runs) == 1 else stacked[owner.to(stacked.device)]
        return rows.to(self.device(layer))

    def _aligned(self, tensors: list[Tensor]) -> Tensor:
        n = self.n_positions
        return torch.stack([_padded(one[self._n_alike :][-n:], n) for one in tensors])

    def _aligned_keys(self, tensors: list[Tensor]) -> Tensor:
        """Tensors over whole prompts: what they begin with, padding, and the rest."""
        n, rest = self._n_alike, self._n_keys - self._n_alike
        return torch.stack([torch.cat([one[:n], _padded(one[n:], rest)]) for one in tensors])

    def _mask(self, given: list[Tensor | None]) -> Tensor | None:
        """The prompts' masks, suffix by all positions; None if plain causal attention needs none."""
        length, n_keys = self.n_positions, self._n_keys
        plain = all(one is None for one in given)
        if plain and length == n_keys and all(run.length == n_keys for run in self._runs):
            return None
        allowed, forbidden = self._values(given)
        first = next((one[0] for one in given if one is not None), None)
        heads = () if first is None else first.shape[:-2]
        like = forbidden if first is None else first
        whole = like.new_empty((len(given), *(heads or (1,)), n_keys, n_keys))
        whole[...] = forbidden
        # A padded position attends to itself alone, so that it stays finite.
        torch.diagonal(whole, dim1=-2, dim2=-1)[...] = allowed
        for row, one in enumerate(given):
            n = self._runs[row].length
            causal = torch.ones(n, n, dtype=torch.bool, device=whole.device).tril()
            own = torch.where(causal, allowed, forbidden) if one is None else one[0]
            there = torch.arange(n, device=whole.device)
            there[self._n_alike :] += n_keys - n
            whole[row][..., there[:, None], there] = own.to(whole.device)
        return whole[..., -length:, :]

    def _values(self, given: list[Tensor | None]) -> tuple[Tensor, Tensor]:
        """A mask's values for a position that may be attended to and for one that may not."""
        for one in given:
            if one is not None and one.shape[-1] > 1:
                corner = one[(0,) * (one.ndim - 2)]
                return corner[0, 0], corner[0, -1]
        resid = self._runs[0].resid[0]
        return resid.new_zeros(()), resid.new_tensor(torch.finfo(resid.dtype).min)


def _position_axis(tensor: Tensor, length: int) -> int | None:
    """Index of the axis as long as the prompt, the row axis excluded; None if there is none."""
    return next((axis for axis in range(1, tensor.ndim) if tensor.shape[axis] == length), None)


def _padded(tensor: Tensor, length: int) -> Tensor:
    short = length - len(tensor)
    return torch.cat([tensor.new_zeros((short, *tensor.shape[1:])), tensor]) if short else tensor
