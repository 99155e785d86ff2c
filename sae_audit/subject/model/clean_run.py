"""Clean runs: passes of the unablated model over one prompt, kept for later questions."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.vocabulary import Fired

CACHE = object()
"""Placeholder for the key-value cache among a layer's arguments."""
KEPT_BYTES = 2 << 30
"""Bytes of clean runs that are kept for later questions about the same prompt."""

Ids = tuple[int, ...]
KeysValues = tuple[Float[Tensor, "_ position _"], Float[Tensor, "_ position _"]]
"""Keys and values of one attention module; layers may differ in heads and head width."""


def cache_argument(model: Any) -> str:
    """Name of the argument that takes the key-value cache: `cache` from transformers 5.24 on."""
    return "cache" if "cache" in signature(model.forward).parameters else "past_key_values"


@dataclass(frozen=True, kw_only=True, eq=False)
class CleanRun:
    """One pass of the unablated model, with all that is needed to run any part of it again."""

    ids: Int[Tensor, " position"]
    resid: tuple[Float[Tensor, "position d_model"], ...]
    """`resid_post` of every layer."""
    kept: tuple[tuple[KeysValues, ...], ...]
    """Keys and values that each layer's attention modules wrote to the cache."""
    calls: tuple[Mapping[str, Any], ...]
    """Each layer's arguments by name, except the residual stream; `CACHE` stands for the cache."""
    logits: Float[Tensor, " vocabulary"]
    """Next-token logits at the last position."""
    fired: dict[bytes, Fired] = field(default_factory=dict)
    """Features that fire, by the bytes of the mask of positions; each mask is encoded once."""
    gradients: dict[int, Float[Tensor, "position d_model"]] = field(default_factory=dict)
    """Gradient of the refusal score at `resid_post`, by layer, once asked for; SAEs do not change it."""

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def n_bytes(self) -> int:
        return self._run_bytes + sum(map(_bytes_of, self.gradients.values()))

    @cached_property
    def _run_bytes(self) -> int:
        kept = [tensor for layer in self.kept for both in layer for tensor in both]
        return sum(map(_bytes_of, [*self.resid, *kept, self.logits]))


def _bytes_of(tensor: Tensor) -> int:
    return tensor.element_size() * tensor.nelement()


class CleanRuns:
    """Clean runs by prompt; the least recently used are dropped beyond `kept_bytes`."""

    def __init__(
        self,
        make: Callable[[Int[Tensor, " position"]], CleanRun],
        check: Callable[[CleanRun], None],
        charge: Callable[[int], None],
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """`make` runs a prompt, `check` gets the first run, and `charge` gets the length of each
        distinct prompt that an account asks for."""
        self._make = make
        self._check = check
        self._charge = charge
        self._charged: set[Ids] = set()
        self._kept_bytes = kept_bytes
        self._runs: OrderedDict[Ids, CleanRun] = OrderedDict()
        self._checked = False

    def of(self, ids: Int[Tensor, " position"]) -> CleanRun:
        key = tuple(ids.tolist())
        if key not in self._charged:
            self._charged.add(key)
            self._charge(len(key))
        return self._kept(ids, key)

    def for_other_saes(self) -> "CleanRuns":
        """Clean runs of the same model for questions about other SAEs: made once for both, charged for
        each."""
        return CleanRuns(
            # What fires depends on the SAEs, all else on the model alone.
            lambda ids: replace(self._kept(ids, tuple(ids.tolist())), fired={}),
            lambda _: None,
            self._charge,
            self._kept_bytes,
        )

    def _kept(self, ids: Int[Tensor, " position"], key: Ids) -> CleanRun:
        if key not in self._runs:
            run = self._make(ids)
            if not self._checked:
                self._check(run)
                self._checked = True
            self._runs[key] = run
            while len(self._runs) > 1 and self._n_bytes() > self._kept_bytes:
                self._runs.popitem(last=False)
        self._runs.move_to_end(key)
        return self._runs[key]

    def begin_account(self) -> None:
        """Charge every prompt once more from here on, even if its run is remembered.

        The cost of a piece of work then depends only on the questions it asks.
        """
        self._charged.clear()

    def clear(self) -> None:
        self._runs.clear()
        self.begin_account()

    def _n_bytes(self) -> int:
        return sum(run.n_bytes for run in self._runs.values())
