"""Forward passes over prompts; prompts of similar length share a batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sae_audit.errors import AuditError
from sae_audit.subject.model.batches import (
    ALIKE_FROM,
    ROWS_FROM,
    Batch,
    batch_of,
    grouped,
    most_positions,
    padded_up_to,
)
from sae_audit.subject.model.budget import Budget
from sae_audit.subject.model.clean_run import cache_argument
from sae_audit.subject.model.cost import CostMeter
from sae_audit.subject.model.directional_ablation import Units
from sae_audit.subject.model.hooks import Edit, LayerModules, Resid, edited
from sae_audit.subject.model.layer_caches import LayerKept

_LOGITS = 1 << 25
"""Most logits of one batch, all rows together."""

Ids = Int[Tensor, "batch position"]


class _Enough(Exception):  # noqa: N818 - no error: a pass ends here that need not go on
    """Ends a pass once every layer asked for has been read."""


class ForwardPasses:
    """The model on token ids, with every pass counted."""

    def __init__(self, model: Any, layer_modules: list[LayerModules], budget: Budget) -> None:
        self.model = model
        self.layer_modules = layer_modules
        self.budget = budget
        self.cost = CostMeter()

    @property
    def device(self) -> torch.device:
        return self.model.device

    def units(self, directions: Float[np.ndarray, "direction d_model"] | None) -> Units:
        """The unit directions in the model's dtype and on its device; no rows for None."""
        width = self.model.config.get_text_config().hidden_size
        found = np.zeros((0, width)) if directions is None else directions
        return torch.tensor(found, dtype=self.model.dtype, device=self.device)

    def batches(
        self,
        prompts: Sequence[Int[Tensor, " _"]],
        *,
        encoding: int = 0,
        padded_in_front: bool = False,
        padding: int = 0,
    ) -> Iterator[Batch]:
        """Batches of all prompts; they depend on the prompts' lengths alone.

        `encoding` is the width of the SAEs that will encode the whole batch; `padding` is that of
        `grouped`.
        """
        groups = grouped(
            [len(ids) for ids in prompts],
            tokens=self.budget.tokens_encoding(encoding),
            rows=self.most_rows,
            padded_up_to=self.fixed_up_to,
            padding=padding,
        )
        for members in groups:
            yield batch_of(prompts, members, padded_in_front=padded_in_front, device=self.device)

    @cached_property
    def most_rows(self) -> int:
        """Most rows of one batch: each gives a distribution over the whole vocabulary."""
        return max(1, _LOGITS // self.model.config.get_text_config().vocab_size)

    @cached_property
    def fixed_up_to(self) -> float:
        """Tokens up to which a prompt's length leaves unchanged how it begins."""
        return padded_up_to(self.model.config.get_text_config())

    def rows_per_batch(self, length: int, *, encoding: int = 0) -> int:
        return max(1, self.budget.tokens_encoding(encoding) // length)

    @torch.no_grad()
    def last_logits(
        self,
        ids: Ids,
        *,
        lengths: Sequence[int] | None = None,
        inputs: Mapping[nn.Module, Edit] | None = None,
        outputs: Mapping[nn.Module, Edit] | None = None,
        begun: Any | None = None,
    ) -> Float[Tensor, "batch vocabulary"]:
        """Next-token logits at each row's last position, with the edits applied.

        `lengths` are those of rows padded on the right; None if no row is padded. `begun` holds the keys
        and values of the tokens before `ids`, row by row.
        """
        self.cost.count(batch=ids.shape[0], positions=ids.shape[1])
        n_kept = 1 if lengths is None else ids.shape[1] - min(lengths) + 1
        ends: dict[nn.Module, Edit] = {}
        if n_kept > 1:
            assert lengths is not None
            ends = {self.model.get_output_embeddings(): _ends(lengths, ids.shape[1] - n_kept)}
        kept = {} if begun is None else {cache_argument(self.model): begun}
        with edited(inputs={**(inputs or {}), **ends}, outputs=outputs):
            return self.model(
                input_ids=ids, use_cache=begun is not None, logits_to_keep=n_kept, **kept
            ).logits[:, -1]

    def logits_under(
        self,
        batch: Batch,
        *,
        n_alike: int,
        inputs: Mapping[nn.Module, Edit] | None = None,
        outputs: Mapping[nn.Module, Edit] | None = None,
    ) -> Float[Tensor, "batch vocabulary"]:
        """Next-token logits of prompts under edits that are the same for all of them.

        Of rows padded on the right; the `n_alike` tokens that all begin with are run once.
        """
        begun = self.begun_alike(batch, n_alike, inputs=inputs, outputs=outputs)
        n = n_alike if begun is not None else 0
        return self.last_logits(
            batch.ids[:, n:],
            lengths=[length - n for length in batch.lengths],
            inputs=inputs,
            outputs=outputs,
            begun=begun,
        )

    def begun_alike(
        self,
        batch: Batch,
        n_alike: int,
        *,
        inputs: Mapping[nn.Module, Edit] | None = None,
        outputs: Mapping[nn.Module, Edit] | None = None,
    ) -> Any | None:
        """A cache with the first `n_alike` tokens, which all rows share, under edits that are the same
        for all of them; None if running these tokens apart saves nothing, or is not possible."""
        few = n_alike < ALIKE_FROM or len(batch.members) < ROWS_FROM
        if few or batch.ids.shape[1] > self.fixed_up_to or not self.begins_apart(n_alike):
            return None
        (kept,) = self.begun(batch.ids[:1, :n_alike], inputs=inputs or {}, outputs=outputs or {})
        return self.cache_of([kept] * len(batch.members))

    def begins_apart(self, n: int) -> bool:
        """Whether all that the model keeps of its first `n` tokens is their keys and values."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

        layers = DynamicCache(config=self.model.config).layers
        return all(
            type(one) is DynamicLayer
            or (type(one) is DynamicSlidingWindowLayer and n < one.sliding_window)
            for one in layers
        )

    @torch.no_grad()
    def begun(
        self,
        ids: Ids,
        *,
        inputs: Mapping[nn.Module, Edit],
        outputs: Mapping[nn.Module, Edit],
    ) -> list[tuple[LayerKept, ...]]:
        """What each layer keeps of what prompts begin with, row by row; each row may have its own edit.

        Its tokens are counted, but no passes: a prompt under an edit is one, however it is run.
        """
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        self.cost.tokens += ids.numel()
        with edited(inputs=inputs, outputs=outputs):
            self.model(
                input_ids=ids,
                use_cache=True,
                logits_to_keep=1,
                **{cache_argument(self.model): cache},
            )
        layers: list[Any] = cache.layers
        kept = [(one.keys, one.values) for one in layers]
        return [
            tuple([(keys[row : row + 1], values[row : row + 1])] for keys, values in kept)
            for row in range(len(ids))
        ]

    def cache_of(self, begun: Sequence[tuple[LayerKept, ...]]) -> Any:
        """A key-value cache whose rows continue these beginnings."""
        from transformers import DynamicCache

        distinct = list({id(one): one for one in begun}.values())
        number = {id(one): i for i, one in enumerate(distinct)}
        rows = torch.tensor([number[id(one)] for one in begun], device=self.device)
        cache = DynamicCache(config=self.model.config)
        for layer, modules in enumerate(zip(*distinct, strict=True)):
            keys, values = (torch.cat([one[0][i] for one in modules]) for i in range(2))
            cache.update(keys[rows.to(keys.device)], values[rows.to(values.device)], layer)
        return cache

    @torch.no_grad()
    def logits_from(
        self, first: int, ids: Ids, *, outputs: Mapping[nn.Module, Edit] | None = None
    ) -> Float[Tensor, "batch kept vocabulary"]:
        """Next-token logits at the positions from `first` on."""
        self.cost.count(batch=ids.shape[0], positions=ids.shape[1])
        n = ids.shape[1] - first
        with edited(outputs=outputs):
            return self.model(input_ids=ids, use_cache=False, logits_to_keep=n).logits

    def read(
        self,
        ids: Ids,
        layers: Sequence[int],
        reader: Callable[[int, Resid], None],
        *,
        lengths: Sequence[int] | None = None,
        edits: Mapping[int, Edit] | None = None,
        inputs: Mapping[nn.Module, Edit] | None = None,
        writers: Mapping[nn.Module, Edit] | None = None,
        whole: bool = True,
    ) -> None:
        """Run one pass and call `reader(layer, resid)` with `resid_post` of each layer.

        `resid` is taken before that layer's own edit and after all earlier ones. `inputs` edits module
        inputs, `writers` the outputs of modules other than layers. If not `whole`, the pass ends with
        the last layer read.
        """
        last = max(layers, default=-1)

        def showing(layer: int) -> Edit:
            def edit(resid: Resid) -> Resid:
                reader(layer, resid)
                if layer == last and not whole:
                    raise _Enough
                return own(resid) if own is not None else resid

            own = (edits or {}).get(layer)
            return edit

        touched = {*layers, *(edits or {})}
        outputs = {
            self.layer_modules[layer].layer: showing(layer)
            if layer in layers
            else (edits or {})[layer]
            for layer in touched
        }
        outputs = {**(writers or {}), **outputs}
        with suppress(_Enough):
            self.last_logits(ids, lengths=lengths, inputs=inputs, outputs=outputs)

    @torch.no_grad()
    def check_room(self, n_prompt: int, n_answer: int) -> None:
        """Check that `n_prompt` and `n_answer` tokens fit the model's context.

        Raises:
            AuditError: they do not.
        """
        most = most_positions(self.model.config.get_text_config())
        if most is not None and n_prompt + n_answer > most:
            raise AuditError(
                f"A prompt of {n_prompt} tokens and an answer of {n_answer} are longer than the {most} "
                "tokens that the model reads (max_position_embeddings in its config); leave out long "
                "prompts, or ask for shorter answers (--set answer_tokens=N)."
            )

    def generate(
        self,
        ids: Ids,
        n_tokens: int,
        *,
        lengths: Sequence[int] | None = None,
        in_prompt: Mapping[nn.Module, Edit] | None = None,
        in_answer: Mapping[nn.Module, Edit] | None = None,
    ) -> list[list[int]]:
        """Greedy answers to prompts (token ids), each including its end-of-sequence token.

        With the key-value cache; edits apply to the prompt's pass and to every later step. The
        model's own generation settings (penalties, sampling) are ignored. `lengths` are those of rows
        padded on the left; None if no row is padded.

        Raises:
            AuditError: prompts and answers exceed the model's context.
        """
        from transformers import DynamicCache

        self.check_room(max(lengths) if lengths else ids.shape[1], n_tokens)

        cache = DynamicCache(config=self.model.config)
        answers: list[list[int]] = [[] for _ in ids]
        running = set(range(len(answers)))
        step, edits = ids, in_prompt
        padding = _padding_in_front(ids, lengths)
        for n in range(n_tokens):
            # An answer counts as one pass over prompt and answer, whatever its number of steps.
            self.cost.forward_passes += len(answers) if n == 0 else 0
            self.cost.tokens += step.numel()
            with edited(outputs=edits):
                logits = self.model(
                    input_ids=step,
                    **{cache_argument(self.model): cache},
                    use_cache=True,
                    logits_to_keep=1,
                    **(_mask_and_positions(padding, ids.shape[1] + n, step.shape[1])),
                ).logits
            # `argmax` takes four times as long in bfloat16 on a CPU; both give the first of equals.
            step, edits = logits[:, -1].max(dim=-1, keepdim=True).indices, in_answer
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
        """Ids of the tokens that end an answer; chat models have several."""
        ends = self.model.generation_config.eos_token_id
        return {ends} if isinstance(ends, int) else set(ends or ())


def _ends(lengths: Sequence[int], first: int) -> Edit:
    """The edit that reduces positions from `first` on to each row's own last one."""

    def edit(resid: Resid) -> Float[Tensor, "batch 1 d_model"]:
        positions = torch.tensor(lengths, device=resid.device) - 1 - first
        return resid[torch.arange(len(positions), device=resid.device), positions][:, None]

    return edit


def _padding_in_front(ids: Ids, lengths: Sequence[int] | None) -> Int[Tensor, " batch"] | None:
    """Number of padding tokens of each row; None if no row is padded."""
    if lengths is None or min(lengths) == ids.shape[1]:
        return None
    return ids.shape[1] - torch.tensor(lengths, device=ids.device)


def _mask_and_positions(
    padding: Int[Tensor, " batch"] | None, n_so_far: int, n_new: int
) -> dict[str, Tensor]:
    """Attention mask and position ids for rows padded on the left; empty if no row is padded."""
    if padding is None:
        return {}
    columns = torch.arange(n_so_far, device=padding.device)
    positions = (columns - padding[:, None]).clamp(min=0)
    return {
        "attention_mask": (columns >= padding[:, None]).long(),
        "position_ids": positions[:, -n_new:],
    }
