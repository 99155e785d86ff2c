"""What the chat template puts before every request, under interventions: run once for each, and kept.

No position sees a later one, so that keys and values of the first tokens are the same for all prompts.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.batches import ALIKE_FROM
from sae_audit.subject.model.clean_run import CleanRun
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.layer_caches import Before, LayerKept

_KEPT_BYTES = 512 << 20
_K = TypeVar("_K", bound=Hashable)


@dataclass(frozen=True, kw_only=True, eq=False)
class Begun:
    """Keys and values of the first tokens under one intervention."""

    after: int
    """The layer after which the stream first differs from the clean run's."""
    kept: tuple[LayerKept, ...]
    """What each layer above keeps, one row."""

    @property
    def n_bytes(self) -> int:
        tensors = [tensor for layer in self.kept for both in layer for tensor in both]
        return sum(one.element_size() * one.nelement() for one in tensors)


class Beginnings:
    """Beginnings by intervention; the least recently asked for are dropped beyond `kept_bytes`."""

    def __init__(
        self, tokens: Sequence[int], passes: ForwardPasses, kept_bytes: int = _KEPT_BYTES
    ) -> None:
        self._tokens = tuple(tokens)
        self._passes = passes
        self._kept_bytes = kept_bytes
        self._n_bytes = 0
        self._begun: OrderedDict[Hashable, Begun | None] = OrderedDict()

    @property
    def ids(self) -> Int[Tensor, " position"]:
        return torch.tensor(self._tokens, dtype=torch.long, device=self._passes.device)

    def n_alike(self, prompts: Tokens) -> int:
        """Number of tokens that all prompts begin with and that are worth running apart; 0 if there are
        too few, or if running them apart were not exact."""
        n = len(self._tokens)
        if n < ALIKE_FROM or any(not n < len(ids) <= self._passes.fixed_up_to for ids in prompts):
            return 0
        return n if all(tuple(ids[:n].tolist()) == self._tokens for ids in prompts) else 0

    @property
    def most_together(self) -> int:
        """Number of interventions whose beginnings may be held at once."""
        config = self._passes.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None)
        width = getattr(config, "head_dim", None)
        per_layer = heads * width if heads and width else config.hidden_size
        per_token = 2 * len(self._passes.layer_modules) * per_layer
        each = max(1, len(self._tokens)) * per_token * self._passes.model.dtype.itemsize
        return max(1, self._kept_bytes // each)

    def known(self, key: Hashable) -> bool:
        return key in self._begun

    def of(
        self, keys: Iterable[_K], make: Callable[[list[_K]], Iterable[Begun | None]]
    ) -> dict[_K, Begun | None]:
        """What is begun under each intervention, which a key names; None if it changes nothing.

        `make` runs the interventions that are not known yet, in the order of their keys.
        """
        wanted = list(dict.fromkeys(keys))
        new = [key for key in wanted if key not in self._begun]
        made = dict(zip(new, make(new), strict=True)) if new else {}
        found = {key: made[key] if key in made else self._begun[key] for key in wanted}
        for key, one in found.items():
            self._n_bytes += one.n_bytes if one is not None and key in made else 0
            self._begun[key] = one
            self._begun.move_to_end(key)
        while self._n_bytes > self._kept_bytes and len(self._begun) > 1:
            _, dropped = self._begun.popitem(last=False)
            self._n_bytes -= dropped.n_bytes if dropped is not None else 0
        return found

    def clear(self) -> None:
        """Forget all, so that what a piece of work costs depends on its own questions alone."""
        self._begun.clear()
        self._n_bytes = 0


def in_slices(keys: Sequence[Hashable], most: int) -> Iterator[list[int]]:
    """Places of the keys in slices of at most `most` different ones, in the order of their first places;
    equal ones stay together."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    distinct = list(places.values())
    for start in range(0, len(distinct), most):
        yield [place for own in distinct[start : start + most] for place in own]


class Continued:
    """The beginnings that rows of one batch continue, each row one of them or the clean run's."""

    def __init__(self, clean: CleanRun, begun: Sequence[Begun | None]) -> None:
        """`begun` by row or by question."""
        distinct = list({id(one): one for one in begun if one is not None}.values())
        number = {id(one): i for i, one in enumerate(distinct)}
        self.numbers = [-1 if one is None else number[id(one)] for one in begun]
        """Each one's place among those that differ; -1 for the clean run's."""
        self._distinct = distinct
        self._clean = clean

    def before(self, layer: int, numbers: Int[Tensor, " row"]) -> Before:
        """What a layer keeps of them, for rows that continue those of these numbers."""
        clean = [(keys[None], values[None]) for keys, values in self._clean.kept[layer]]
        every = [
            clean,
            *(
                clean if layer <= one.after else one.kept[layer - one.after - 1]
                for one in self._distinct
            ),
        ]
        kept = [
            (torch.cat([keys for keys, _ in module]), torch.cat([values for _, values in module]))
            for module in zip(*every, strict=True)
        ]
        return Before(kept, numbers + 1, self._clean.length)
