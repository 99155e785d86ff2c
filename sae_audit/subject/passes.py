"""Forward passes over prompts: equal lengths share a batch, so no padding touches any number."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sae_audit.subject.cost import CostMeter
from sae_audit.subject.hooks import Edit, Places, Resid, edited

Batch = Int[Tensor, "batch position"]


class Passes:
    """Runs the model on token ids and counts what that cost."""

    def __init__(self, model: Any, places: list[Places], tokens_per_batch: int) -> None:
        self.model = model
        self.places = places
        self.tokens_per_batch = tokens_per_batch
        self.cost = CostMeter()

    @property
    def device(self) -> torch.device:
        return self.model.device

    def batches(self, prompts: Sequence[Int[Tensor, " _"]]) -> Iterator[tuple[list[int], Batch]]:
        """Prompts grouped by length: which ones (their indices), and their ids as one batch."""
        by_length: dict[int, list[int]] = {}
        for i, ids in enumerate(prompts):
            by_length.setdefault(len(ids), []).append(i)
        for length, members in sorted(by_length.items()):
            size = self.rows_per_batch(length)
            for start in range(0, len(members), size):
                chosen = members[start : start + size]
                yield chosen, torch.stack([prompts[i] for i in chosen]).to(self.device)

    def rows_per_batch(self, length: int) -> int:
        return max(1, self.tokens_per_batch // length)

    @torch.no_grad()
    def last_logits(
        self,
        ids: Batch,
        *,
        inputs: Mapping[nn.Module, Edit] | None = None,
        outputs: Mapping[nn.Module, Edit] | None = None,
    ) -> Float[Tensor, "batch vocabulary"]:
        """Next-token logits at the last position, with edits in force."""
        self.cost.count(batch=ids.shape[0], positions=ids.shape[1])
        with edited(inputs=inputs, outputs=outputs):
            return self.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]

    @torch.no_grad()
    def all_logits(
        self, ids: Batch, *, outputs: Mapping[nn.Module, Edit] | None = None
    ) -> Float[Tensor, "batch position vocabulary"]:
        self.cost.count(batch=ids.shape[0], positions=ids.shape[1])
        with edited(outputs=outputs):
            return self.model(input_ids=ids, use_cache=False).logits

    def read(
        self,
        ids: Batch,
        layers: Sequence[int],
        reader: Callable[[int, Resid], None],
        *,
        edits: Mapping[int, Edit] | None = None,
    ) -> None:
        """One pass that shows `resid_post` of each layer to `reader(layer, resid)`.

        What is shown is the stream before that layer's own edit, after all earlier ones.
        """

        def showing(layer: int) -> Edit:
            def edit(resid: Resid) -> Resid:
                reader(layer, resid)
                return own(resid) if own is not None else resid

            own = (edits or {}).get(layer)
            return edit

        touched = {*layers, *(edits or {})}
        outputs = {
            self.places[layer].layer: showing(layer) if layer in layers else (edits or {})[layer]
            for layer in touched
        }
        self.last_logits(ids, outputs=outputs)

    @torch.no_grad()
    def generate(self, ids: Batch, n_tokens: int) -> Int[Tensor, "batch new"]:
        """Greedy continuation of a batch of equally long prompts, without ablation."""
        self.cost.count(batch=ids.shape[0], positions=ids.shape[1] + n_tokens)
        produced = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=n_tokens,
            do_sample=False,
        )
        return produced[:, ids.shape[1] :]
