"""Residual streams of one prompt under several interventions.

Only layers from the lowest edited to the highest one read, and positions from the first edited one on,
are run; the rest is the remembered clean run's. This is exact: causal attention leaves earlier
positions unchanged.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_audit.subject.intervention.ablation import (
    ablation_edit,
    check_ablation,
    check_features,
    sets_by_layer,
)
from sae_audit.subject.intervention.freezing import ablated_and_frozen, excess_over_clean
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit, Resid
from sae_audit.subject.model.suffixes import Suffixes
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import Ablation, FeatureId, Intervention

Reader = Callable[[Sequence[int], int, Resid], None]
"""Callback with the indices of interventions, the layer, and its `resid` before its own edit. `resid`
has one row per intervention, or a single row shared by all of them."""


class InterventionRuns:
    """The residual streams of one prompt under interventions."""

    def __init__(
        self,
        *,
        passes: ForwardPasses,
        stack: DecoderLayers,
        suite: dict[int, Sae],
        runs: CleanRuns,
        ids: Int[Tensor, " position"],
        selected: Bool[Tensor, " position"],
        ablation: Ablation,
    ) -> None:
        """
        Raises:
            AuditError: this suite cannot carry out the ablation.
        """
        check_ablation(ablation, suite, frozenset())
        self.suite = suite
        self.length = len(ids)
        self.start = int(selected.int().argmax()) if bool(selected.any()) else self.length - 1
        """First position read; earlier ones are never edited and so never change."""
        self.selected = selected[self.start :]
        self._passes, self._stack, self._runs = passes, stack, runs
        self._ids, self._ablation = ids, ablation

    def clean_run(self) -> CleanRun:
        """The prompt's unablated run."""
        return self._runs.of(self._ids)

    @torch.no_grad()
    def read(
        self,
        interventions: Sequence[Intervention],
        layers: Sequence[int],
        reader: Reader,
        *,
        encoding: int = 0,
    ) -> None:
        """Pass `resid_post` of each layer, from position `start` on, to `reader` for each intervention.

        `encoding` is the width of the SAEs with which `reader` encodes whole batches.

        Raises:
            AuditError: no loaded SAE has a feature.
        """
        if layers:
            self._read(interventions, sorted(layers), reader, encoding)

    @torch.no_grad()
    def ends(self, interventions: Sequence[Intervention]) -> Float[Tensor, "intervention d_model"]:
        """The last layer's `resid_post` at the last position, after every edit."""
        ends: dict[int, Float[Tensor, " d_model"]] = {}

        def keep(members: Sequence[int], _: int, resid: Resid) -> None:
            last = resid[:, -1].expand(len(members), -1)
            ends.update(zip(members, last, strict=True))

        self._read(interventions, [self._stack.n_layers], keep, 0)
        return torch.stack([ends[i] for i in range(len(interventions))])

    def _read(
        self,
        interventions: Sequence[Intervention],
        layers: Sequence[int],
        reader: Reader,
        encoding: int,
    ) -> None:
        check_features([i.ablated | i.frozen for i in interventions], self.suite)
        # Neighbours in this order first differ from the clean run at the same layer.
        order = sorted(range(len(interventions)), key=lambda i: _lowest(interventions[i]))
        size = self._passes.rows_per_batch(self.length - self.start, encoding=encoding)
        for first in range(0, len(order), size):
            members = order[first : first + size]
            self._run([interventions[i] for i in members], members, layers, reader)

    def _run(
        self,
        chosen: Sequence[Intervention],
        members: Sequence[int],
        layers: Sequence[int],
        reader: Reader,
    ) -> None:
        batch = self._stack.suffixes([self.clean_run()], self.length - self.start)
        edits = self._edits(chosen, batch)
        owner = torch.zeros(len(chosen), dtype=torch.long, device=self._ids.device)
        lowest, resid = min(edits, default=self._stack.n_layers), None
        for layer in range(max(layers) + 1):
            if layer == self._stack.n_layers:
                # One past the last layer stands for its output after its own edit.
                reader(members, layer, batch.clean(layer - 1) if resid is None else resid)
                break
            if resid is not None:
                resid = self._stack.run(layer, resid, batch, owner, whole=True)
            shown = batch.clean(layer) if resid is None else resid
            if layer in layers:
                reader(members, layer, shown)
            if layer in edits:
                resid = edits[layer](shown.expand(len(chosen), -1, -1))
        if lowest < max(layers):
            self._passes.cost.count(batch=len(chosen), positions=self.length - self.start)

    def _edits(self, chosen: Sequence[Intervention], batch: Suffixes) -> dict[int, Edit]:
        selected = self.selected[None]
        ablate = {
            layer: ablation_edit(
                self.suite[layer],
                sets,
                ablation=self._ablation,
                selected=selected,
                clean=lambda layer=layer: batch.clean(layer),
            )
            for layer, sets in sets_by_layer([i.ablated for i in chosen]).items()
        }
        # Up to the lowest ablation nothing has changed, so freezing has no effect.
        lowest = min(ablate, default=self._stack.n_layers)
        excess = {
            layer: excess_over_clean(
                self.suite[layer],
                sets,
                selected=selected,
                clean=lambda layer=layer: batch.clean(layer),
            )
            for layer, sets in sets_by_layer([i.frozen for i in chosen]).items()
            if layer > lowest
        }
        return {
            layer: ablated_and_frozen(ablate.get(layer), excess.get(layer))
            for layer in sorted({*ablate, *excess})
        }


def _lowest(intervention: Intervention) -> int:
    """The lowest ablated layer; freezing alone changes nothing."""
    return min((feature.layer for feature in intervention.ablated), default=1 << 30)


def by_layer(features: Sequence[FeatureId]) -> dict[int, tuple[list[int], tuple[int, ...]]]:
    """By layer, its features' indices in `features` (columns of an answer) and in the SAE."""
    found: dict[int, tuple[list[int], list[int]]] = {}
    for column, feature in enumerate(features):
        columns, indices = found.setdefault(feature.layer, ([], []))
        columns.append(column)
        indices.append(feature.index)
    return {layer: (columns, tuple(indices)) for layer, (columns, indices) in found.items()}
