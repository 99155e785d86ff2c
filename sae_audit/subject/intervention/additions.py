"""Directions added to clean runs, each at its own layer; only the layers above are run.

Rows join a batch at their own layer, as the clean residual stream plus the direction, and are run
together up to the last layer or the last one that is read. What all prompts begin with is run once for
each direction and not for each prompt: no position sees a later one.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.batches import ALIKE_FROM, ROWS_FROM, n_alike_in_front
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.directional_ablation import Units, everywhere
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Resid, edited
from sae_audit.subject.model.layer_caches import Before, LayerCache, Noted

Climb = Iterator[tuple[int, Float[Tensor, "running position d_model"]]]
"""Layers, each with the residual stream after it of the rows that have joined."""
_Added = tuple[int, int]
"""The layer at which a row's direction is added, and the direction's number."""


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
        for rows, climb in self._batches(range(len(prompts)), prompts, directions, layers):
            inputs, outputs = self._edits
            with edited(inputs=inputs, outputs=outputs):
                ((_, resid),) = deque(climb(self._stack.n_layers - 1), maxlen=1)
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
        for rows, climb in self._batches(reached, prompts, directions, layers):
            inputs, outputs = self._edits
            with edited(inputs=inputs, outputs=outputs):
                found = [
                    (layer, resid[:, -1].double().cpu())
                    for layer, resid in climb(last)
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
        self,
        rows: Sequence[int],
        prompts: Tokens,
        directions: Float[Tensor, "row d_model"],
        layers: Sequence[int],
    ) -> Iterator[tuple[list[int], Callable[[int], Climb]]]:
        """Batches of rows in the order of their layers, each with what runs it up to a layer."""
        if not rows:
            return
        _, distinct = torch.unique(directions, dim=0, return_inverse=True)
        adds = [(layers[i], int(distinct[i])) for i in range(len(prompts))]
        n_alike = self._n_alike([prompts[i] for i in rows], len({adds[i] for i in rows}))
        order = sorted(rows, key=lambda i: (adds[i], len(prompts[i]), i))
        # Made before the edits are applied: clean runs apply their own.
        beginning = self._run(prompts[order[0]][:n_alike]) if n_alike else None
        for some in self._fitting(order, prompts, adds, n_alike):
            runs = [self._run(prompts[i]) for i in some]
            yield (
                some,
                partial(
                    self._climb,
                    runs,
                    directions[some],
                    [adds[i] for i in some],
                    beginning,
                ),
            )

    def _n_alike(self, prompts: Tokens, n_distinct: int) -> int:
        """Number of tokens that all prompts begin with if running these apart takes less time, or 0."""
        too_long = max(map(len, prompts)) > self._passes.fixed_up_to
        if too_long or len(prompts) < ROWS_FROM * n_distinct:
            return 0
        n = n_alike_in_front(prompts)
        return n if n >= ALIKE_FROM else 0

    def _fitting(
        self, order: Sequence[int], prompts: Tokens, adds: Sequence[_Added], n_alike: int
    ) -> Iterator[list[int]]:
        """Rows that share a batch: what they begin with counts once for each direction."""
        longest = max(len(prompts[i]) for i in order) - n_alike
        some: list[int] = []
        n_distinct = 0
        for i in order:
            new = not some or adds[i] != adds[some[-1]]
            tokens = (len(some) + 1) * longest + (n_distinct + new) * n_alike
            if some and (
                tokens > self._passes.budget.tokens or len(some) == self._passes.most_rows
            ):
                yield some
                some, n_distinct, new = [], 0, True
            some.append(i)
            n_distinct += new
        yield some

    def _run(self, ids: Int[Tensor, " position"]) -> CleanRun:
        return self._runs.of(ids.to(self._passes.device))

    def _climb(
        self,
        runs: Sequence[CleanRun],
        directions: Float[Tensor, "row d_model"],
        adds: Sequence[_Added],
        beginning: CleanRun | None,
        last: int,
    ) -> Climb:
        """Each layer up to `last`, with the residual stream after it of the rows that have joined;
        rows are in the order of their layers."""
        n_alike = beginning.length if beginning is not None else 0
        width = max(run.length for run in runs) - n_alike
        layers = [layer for layer, _ in adds]
        rows = _Joining(self._stack, runs, directions, layers, width, n_alike)
        begun, of_row = None, torch.zeros(0)
        if beginning is not None:
            first = [i for i, added in enumerate(adds) if i == 0 or added != adds[i - 1]]
            own = [beginning] * len(first)
            begun = _Joining(
                self._stack, own, directions[first], [layers[i] for i in first], n_alike
            )
            of_row = torch.tensor(np.searchsorted(first, np.arange(len(adds)), side="right") - 1)
            self._passes.cost.tokens += len(first) * n_alike
        for layer in range(layers[0], last + 1):
            cache = None
            if begun is not None:
                noted = Noted()
                begun.step(layer, noted)
                if noted.kept:
                    cache = Before(noted.kept, of_row[: rows.n_running], n_alike)
            yield layer, rows.step(layer, cache)
        self._passes.cost.count(batch=len(runs), positions=width)

    def _run_without(self, ids: Int[Tensor, " position"]) -> CleanRun:
        inputs, outputs = self._edits
        with edited(inputs=inputs, outputs=outputs):
            return self._stack.clean_run(ids)

    def _charge(self, n_positions: int) -> None:
        self._passes.cost.count(batch=1, positions=n_positions)


class _Joining:
    """Residual streams of one batch, each row of which joins at its own layer as the clean stream plus a
    direction."""

    def __init__(
        self,
        stack: DecoderLayers,
        runs: Sequence[CleanRun],
        directions: Float[Tensor, "row d_model"],
        layers: Sequence[int],
        width: int,
        n_alike: int = 0,
    ) -> None:
        own = list({id(run): run for run in runs}.values())
        index_of = {id(run): i for i, run in enumerate(own)}
        self.n_running = 0
        self._stack, self._layers, self._directions = stack, layers, directions
        self._batch = stack.suffixes(own, width, n_alike)
        self._owner = torch.tensor([index_of[id(run)] for run in runs], device=directions.device)
        self._resid: Resid | None = None

    def step(self, layer: int, cache: LayerCache | None = None) -> Resid:
        """The stream after a layer of the rows that have joined, behind what `cache` holds."""
        resid = self._resid
        if resid is not None:
            owner = self._owner[: self.n_running]
            resid = self._stack.run(layer, resid, self._batch, owner, cache=cache)
        joining = slice(self.n_running, self.n_running + self._layers.count(layer))
        if joining.stop > joining.start:
            self.n_running = joining.stop
            clean = self._batch.clean(layer)
            new = clean[self._owner[joining].to(clean.device)]
            new = new + self._directions[joining][:, None].to(clean.device)
            resid = new if resid is None else torch.cat([resid, new[:, -resid.shape[1] :]])
        assert resid is not None
        self._resid = resid
        return resid
