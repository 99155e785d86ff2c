"""Directions added to clean runs, each at its own layer; only the layers above are run.

Rows join a batch at their own layer, as the clean residual stream plus the direction, and are run
together up to the last layer or the last one that is read. What all prompts begin with is run once for
each direction and not for each prompt (`beginnings`).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.subject.intervention.beginnings import Beginnings, Begun, Continued, in_slices
from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.batches import TAIL_PADDING, grouped
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.directional_ablation import Units, everywhere
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Resid, edited
from sae_audit.subject.model.layer_caches import LayerCache, LayerKept, Noted

_Climb = Iterator[tuple[int, Float[Tensor, "running position d_model"]]]
"""Layers, each with the residual stream after it of the rows that have joined."""
_Added = tuple["Additions", int, bytes]
"""Whose additions, the layer, and the direction."""


class Additions:
    """Logits and residual streams of prompts with directions added."""

    def __init__(
        self,
        passes: ForwardPasses,
        stack: DecoderLayers,
        runs: CleanRuns,
        beginnings: Beginnings,
        behind: Units,
    ) -> None:
        """`behind`: directions projected out in every run, the clean ones included."""
        self._passes, self._stack, self._beginnings = passes, stack, beginnings
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
        top = self._stack.n_layers - 1
        for some, climb in self._batches(range(len(prompts)), prompts, directions, layers, top):
            ((_, resid),) = deque(climb, maxlen=1)
            yield some, self._stack.head(resid[:, -1])

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
        for some, climb in self._batches(reached, prompts, directions, layers, last):
            for layer, resid in climb:
                if layer in read:
                    yield some[: len(resid)], layer, resid[:, -1].double().cpu()

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
        last: int,
    ) -> Iterator[tuple[list[int], _Climb]]:
        """Batches of rows in the order of their layers, each with the layers up to `last`."""
        n_alike = self._beginnings.n_alike([prompts[i] for i in rows])
        if not n_alike:
            yield from self._batches_of(rows, prompts, directions, layers, last, None)
            return
        ordered = sorted(rows, key=lambda i: layers[i])
        keys = [self._added(directions[i], layers[i]) for i in ordered]
        for some in in_slices(keys, self._beginnings.most_together):
            own = [ordered[i] for i in some]
            begun = self._begun(own, directions, layers)
            yield from self._batches_of(own, prompts, directions, layers, last, begun)

    def _batches_of(
        self,
        rows: Sequence[int],
        prompts: Tokens,
        directions: Float[Tensor, "row d_model"],
        layers: Sequence[int],
        last: int,
        begun: Mapping[_Added, Begun | None] | None,
    ) -> Iterator[tuple[list[int], _Climb]]:
        """Batches of rows, behind what is `begun` if that is run apart."""
        n_alike = len(self._beginnings.ids) if begun is not None else 0
        groups = grouped(
            [len(prompts[i]) - n_alike for i in rows],
            tokens=self._passes.budget.tokens,
            rows=self._passes.most_rows,
            padding=TAIL_PADDING if n_alike else 0,
        )
        for group in groups:
            some = sorted((rows[i] for i in group), key=lambda i: (layers[i], len(prompts[i]), i))
            batch = _Joining(
                self._stack,
                [self._run(prompts[i]) for i in some],
                directions[some],
                [layers[i] for i in some],
                n_alike=n_alike,
            )
            continued = None
            if begun is not None:
                own = [begun[self._added(directions[i], layers[i])] for i in some]
                continued = Continued(self._run(self._beginnings.ids), own)
            yield some, self._climb(batch, continued, last)

    def _climb(self, batch: "_Joining", continued: Continued | None, last: int) -> _Climb:
        inputs, outputs = self._edits
        for layer in range(batch.lowest, last + 1):
            before = None
            if continued is not None:
                numbers = torch.tensor(continued.numbers[: batch.n_running], dtype=torch.long)
                before = continued.before(layer, numbers)
            with edited(inputs=inputs, outputs=outputs):
                resid = batch.step(layer, before)
            yield layer, resid
        self._passes.cost.count(batch=batch.n_running, positions=batch.n_positions)

    def _begun(
        self,
        rows: Sequence[int],
        directions: Float[Tensor, "row d_model"],
        layers: Sequence[int],
    ) -> dict[_Added, Begun | None]:
        """What the first tokens are with each row's direction added to them at its layer."""
        first = {self._added(directions[i], layers[i]): i for i in reversed(rows)}
        clean = self._run(self._beginnings.ids)

        def make(keys: list[_Added]) -> Iterator[Begun]:
            size = self._passes.rows_per_batch(clean.length)
            for start in range(0, len(keys), size):
                some = [first[key] for key in keys[start : start + size]]
                yield from self._begun_of(clean, directions[some], [layers[i] for i in some])

        return self._beginnings.of(sorted(first, key=lambda key: (key[1], first[key])), make)

    def _begun_of(
        self,
        clean: CleanRun,
        directions: Float[Tensor, "row d_model"],
        layers: Sequence[int],
    ) -> list[Begun]:
        """Of rows in the order of their layers."""
        rows = _Joining(self._stack, [clean] * len(layers), directions, layers)
        kept: list[list[LayerKept]] = [[] for _ in layers]
        inputs, outputs = self._edits
        with edited(inputs=inputs, outputs=outputs):
            for layer in range(rows.lowest, self._stack.n_layers):
                noted, n_running = Noted(), rows.n_running
                rows.step(layer, noted)
                for row in range(n_running):
                    kept[row].append(noted.of_row(row))
        # A prompt with a direction added is one pass, however it is run.
        self._passes.cost.tokens += len(layers) * clean.length
        return [Begun(after=at, kept=tuple(own)) for at, own in zip(layers, kept, strict=True)]

    def _added(self, direction: Float[Tensor, " d_model"], layer: int) -> _Added:
        return self, layer, direction.double().cpu().numpy().tobytes()

    def _run(self, ids: Int[Tensor, " position"]) -> CleanRun:
        return self._runs.of(ids.to(self._passes.device))

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
        *,
        n_alike: int = 0,
    ) -> None:
        """Rows in the order of their layers, without the first `n_alike` tokens of their prompts."""
        own = list({id(run): run for run in runs}.values())
        index_of = {id(run): i for i, run in enumerate(own)}
        self.lowest = layers[0]
        self.n_positions = max(run.length for run in runs) - n_alike
        self.n_running = 0
        self._stack, self._layers, self._directions = stack, layers, directions
        self._batch = stack.suffixes(own, self.n_positions, n_alike)
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
