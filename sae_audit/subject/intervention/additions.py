"""Directions added to clean runs, each at its own layer; only the layers above are run.

Rows join a batch at their own layer, as the clean residual stream plus the direction, and are run
together up to the last layer or the last one that is read.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.directional_ablation import Units, everywhere
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import edited


class Additions:
    """Logits and residual streams of prompts with directions added."""

    def __init__(
        self, passes: ForwardPasses, stack: DecoderLayers, runs: CleanRuns, behind: Units
    ) -> None:
        """`behind`: directions projected out in every run, the clean ones included."""
        self._passes, self._stack = passes, stack
        self._edits = everywhere(passes.layer_modules, behind)
        # Runs with `behind` projected out are kept apart; the stack has been checked on the clean ones.
        self._runs = runs
        if len(behind):
            self._runs = CleanRuns(self._run_without, lambda _run: None, self._charge)

    @torch.no_grad()
    def logits(
        self,
        prompts: Tokens,
        directions: Float[Tensor, "row d_model"],
        layers: Sequence[int],
    ) -> Iterator[tuple[list[int], Float[Tensor, "some_rows vocabulary"]]]:
        """Indices of some rows and their next-token logits: in row i, direction i is added at every
        position to `resid_post` of layer i of prompt i."""
        for rows, runs in self._batches(range(len(prompts)), prompts, layers):
            inputs, outputs = self._edits
            with edited(inputs=inputs, outputs=outputs):
                top = self._stack.n_layers - 1
                climbing = self._climb(runs, directions[rows], [layers[i] for i in rows], top)
                ((_, resid),) = deque(climbing, maxlen=1)
                found = self._stack.head(resid[:, -1])
            yield rows, found

    @torch.no_grad()
    def streams(
        self,
        prompts: Tokens,
        directions: Float[Tensor, "row d_model"],
        layers: Sequence[int],
        read: Sequence[int],
    ) -> Iterator[tuple[list[int], int, Float[Tensor, "some_rows d_model"]]]:
        """Indices of some rows, a layer of `read`, and their changed `resid_post` at the last position;
        float64. Layers above the last one read are not run.
        """
        last = max(read)
        reached = [i for i in range(len(prompts)) if layers[i] <= last]
        for rows, runs in self._batches(reached, prompts, layers):
            inputs, outputs = self._edits
            with edited(inputs=inputs, outputs=outputs):
                climbing = self._climb(runs, directions[rows], [layers[i] for i in rows], last)
                found = [
                    (layer, resid[:, -1].double().cpu())
                    for layer, resid in climbing
                    if layer in read
                ]
            for layer, changed in found:
                yield rows[: len(changed)], layer, changed

    def clean_streams(
        self, prompts: Tokens, read: Sequence[int]
    ) -> Float[np.ndarray, "prompt layer d_model"]:
        """`resid_post` of the layers `read` at each prompt's last position, nothing added; float64."""

        def of(ids: Int[Tensor, " position"]) -> Float[Tensor, "layer d_model"]:
            run = self._run(ids)
            return torch.stack([run.resid[layer][-1].double().cpu() for layer in read])

        return torch.stack([of(ids) for ids in prompts]).numpy()

    def _batches(
        self, rows: Sequence[int], prompts: Tokens, layers: Sequence[int]
    ) -> Iterator[tuple[list[int], list[CleanRun]]]:
        """Batches of rows in the order of their layers, with their clean runs."""
        order = sorted(rows, key=lambda i: (layers[i], len(prompts[i]), i))
        longest = max(map(len, prompts), default=1)
        size = min(self._passes.rows_per_batch(longest), self._passes.most_rows)
        for start in range(0, len(order), size):
            some = order[start : start + size]
            # Made before the edits are applied: clean runs apply their own.
            yield some, [self._run(prompts[i]) for i in some]

    def _run(self, ids: Int[Tensor, " position"]) -> CleanRun:
        return self._runs.of(ids.to(self._passes.device))

    def _climb(
        self,
        runs: Sequence[CleanRun],
        directions: Float[Tensor, "row d_model"],
        layers: Sequence[int],
        last: int,
    ) -> Iterator[tuple[int, Float[Tensor, "running position d_model"]]]:
        """Each layer up to `last`, with the residual stream after it of the rows that have joined;
        rows are in the order of their layers."""
        own = list({id(run): run for run in runs}.values())
        index_of = {id(run): i for i, run in enumerate(own)}
        width = max(run.length for run in own)
        batch = self._stack.suffixes(own, width)
        owner = torch.tensor([index_of[id(run)] for run in runs], device=directions.device)
        resid: Float[Tensor, "row position d_model"] | None = None
        n_running = 0
        for layer in range(layers[0], last + 1):
            if resid is not None:
                resid = self._stack.run(layer, resid, batch, owner[:n_running])
            joining = slice(n_running, n_running + layers.count(layer))
            if joining.stop > joining.start:
                n_running = joining.stop
                new = self._added(batch.clean(layer), owner[joining], directions[joining])
                new = new if resid is None else new[:, -resid.shape[1] :]
                resid = new if resid is None else torch.cat([resid, new])
            assert resid is not None
            yield layer, resid
        self._passes.cost.count(batch=len(runs), positions=width)

    def _added(
        self,
        clean: Float[Tensor, "prompt position d_model"],
        owner: Int[Tensor, " row"],
        directions: Float[Tensor, "row d_model"],
    ) -> Float[Tensor, "row position d_model"]:
        return clean[owner.to(clean.device)] + directions[:, None].to(clean.device)

    def _run_without(self, ids: Int[Tensor, " position"]) -> CleanRun:
        inputs, outputs = self._edits
        with edited(inputs=inputs, outputs=outputs):
            return self._stack.clean_run(ids)

    def _charge(self, n_positions: int) -> None:
        self._passes.cost.count(batch=1, positions=n_positions)
