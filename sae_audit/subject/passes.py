"""Forward passes over prompts: equal lengths share a batch, so no padding touches any number."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sae_audit.subject.budget import Budget
from sae_audit.subject.cost import CostMeter
from sae_audit.subject.hooks import Edit, Places, Resid, edited
from sae_audit.subject.removal import Units

Batch = Int[Tensor, "batch position"]


class Passes:
    """Runs the model on token ids and counts what that cost."""

    def __init__(self, model: Any, places: list[Places], budget: Budget) -> None:
        self.model = model
        self.places = places
        self.budget = budget
        self.cost = CostMeter()

    @property
    def device(self) -> torch.device:
        return self.model.device

    def units(self, directions: Float[np.ndarray, "direction d_model"] | None) -> Units:
        """Unit directions in the model's type, where it is; none of them for None."""
        found = np.zeros((0, 0)) if directions is None else directions
        return torch.tensor(found, dtype=self.model.dtype, device=self.device)

    def batches(
        self, prompts: Sequence[Int[Tensor, " _"]], *, encoding: int = 0
    ) -> Iterator[tuple[list[int], Batch]]:
        """Prompts grouped by length: which ones (their indices), and their ids as one batch.

        `encoding` is the width of the SAEs that are to encode the whole batch.
        """
        by_length: dict[int, list[int]] = {}
        for i, ids in enumerate(prompts):
            by_length.setdefault(len(ids), []).append(i)
        for length, members in sorted(by_length.items()):
            size = self.rows_per_batch(length, encoding=encoding)
            for start in range(0, len(members), size):
                chosen = members[start : start + size]
                yield chosen, torch.stack([prompts[i] for i in chosen]).to(self.device)

    def rows_per_batch(self, length: int, *, encoding: int = 0) -> int:
        return max(1, self.budget.tokens_encoding(encoding) // length)

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
        inputs: Mapping[nn.Module, Edit] | None = None,
        writers: Mapping[nn.Module, Edit] | None = None,
    ) -> None:
        """One pass that shows `resid_post` of each layer to `reader(layer, resid)`.

        What is shown is the stream before that layer's own edit, after all earlier ones. `inputs` are
        edits of what modules are given, `writers` of what modules other than layers hand on.
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
        self.last_logits(ids, inputs=inputs, outputs={**(writers or {}), **outputs})

    @torch.no_grad()
    def generate(
        self,
        ids: Batch,
        n_tokens: int,
        *,
        in_prompt: Mapping[nn.Module, Edit] | None = None,
        in_answer: Mapping[nn.Module, Edit] | None = None,
    ) -> list[list[int]]:
        """Greedy answers to equally long prompts, each up to and with its end of sequence.

        With the key-value cache; edits are in force in the prompt's pass and in every step after
        it. The model's own generation settings (penalties, sampling) are left out.
        """
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        answers: list[list[int]] = [[] for _ in ids]
        running = set(range(len(answers)))
        step, edits = ids, in_prompt
        for n in range(n_tokens):
            # An answer is one pass over prompt and answer, however many steps it was made in.
            self.cost.forward_passes += len(answers) if n == 0 else 0
            self.cost.tokens += step.numel()
            with edited(outputs=edits):
                logits = self.model(
                    input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1
                ).logits
            step, edits = logits[:, -1].argmax(dim=-1, keepdim=True), in_answer
            for row, token in enumerate(step[:, 0].tolist()):
                if row in running:
                    answers[row].append(token)
                    if token in self.ends:
                        running.remove(row)
            if not running:
                break
        return answers

    @property
    def ends(self) -> set[int]:
        """Tokens that end an answer; chat models have several."""
        ends = self.model.generation_config.eos_token_id
        return {ends} if isinstance(ends, int) else set(ends or ())
