"""One prompt under several interventions, run from the lowest edited layer to the highest one read.

Below the lowest edited layer every stream is the clean run's, which is remembered; above the
highest layer read, and for positions before the first edited one, nothing is run. This is exact:
causal attention leaves earlier positions as they were.
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
from sae_audit.subject.intervention.freezing import ablated_and_held, excess_over_clean
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit, Resid
from sae_audit.subject.model.suffixes import Suffixes
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import Ablation, FeatureId, Intervention

Reader = Callable[[Sequence[int], int, Resid], None]
"""Told which interventions (their places), the layer, and their streams before its own edit: one
row each, or a single row that is theirs all."""


class InterventionRuns:
    """The streams of one prompt under interventions."""

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
            AuditError: an ablation that cannot be carried out with this suite.
        """
        check_ablation(ablation, suite, frozenset())
        self.suite = suite
        self.length = len(ids)
        self.start = int(selected.int().argmax()) if bool(selected.any()) else self.length - 1
        """First position shown: those before it are never edited, and so never change."""
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
        """Show `resid_post` of each layer, from position `start` on, under each intervention.

        `encoding` is the width of SAEs that the reader encodes whole batches with.

        Raises:
            AuditError: a feature that no loaded SAE has.
        """
        if layers:
            self._read(interventions, sorted(layers), reader, encoding)

    @torch.no_grad()
    def ends(self, interventions: Sequence[Intervention]) -> Float[Tensor, "intervention d_model"]:
        """The last layer's `resid_post` at the last position, after every edit."""
        ends: dict[int, Float[Tensor, " d_model"]] = {}

        def keep(places: Sequence[int], _: int, resid: Resid) -> None:
            last = resid[:, -1].expand(len(places), -1)
            ends.update(zip(places, last, strict=True))

        self._read(interventions, [self._stack.n_layers], keep, 0)
        return torch.stack([ends[i] for i in range(len(interventions))])

    def _read(
        self,
        interventions: Sequence[Intervention],
        layers: Sequence[int],
        reader: Reader,
        encoding: int,
    ) -> None:
        check_features([i.ablated | i.held for i in interventions], self.suite)
        # Neighbours in this order begin to differ from the clean run at the same layer.
        order = sorted(range(len(interventions)), key=lambda i: _lowest(interventions[i]))
        size = self._passes.rows_per_batch(self.length - self.start, encoding=encoding)
        for first in range(0, len(order), size):
            places = order[first : first + size]
            self._run([interventions[i] for i in places], places, layers, reader)

    def _run(
        self,
        chosen: Sequence[Intervention],
        places: Sequence[int],
        layers: Sequence[int],
        reader: Reader,
    ) -> None:
        batch = self._stack.suffixes([self.clean_run()], self.length - self.start)
        edits = self._edits(chosen, batch)
        owner = torch.zeros(len(chosen), dtype=torch.long, device=self._ids.device)
        lowest, resid = min(edits, default=self._stack.n_layers), None
        for layer in range(max(layers) + 1):
            if layer == self._stack.n_layers:
                # One past the last layer: its output after its own edit.
                reader(places, layer, batch.clean(layer - 1) if resid is None else resid)
                break
            if resid is not None:
                resid = self._stack.run(layer, resid, batch, owner, whole=True)
            shown = batch.clean(layer) if resid is None else resid
            if layer in layers:
                reader(places, layer, shown)
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
        # Up to the lowest ablation nothing has changed, and there is nothing to hold back.
        lowest = min(ablate, default=self._stack.n_layers)
        excess = {
            layer: excess_over_clean(
                self.suite[layer],
                sets,
                selected=selected,
                clean=lambda layer=layer: batch.clean(layer),
            )
            for layer, sets in sets_by_layer([i.held for i in chosen]).items()
            if layer > lowest
        }
        return {
            layer: ablated_and_held(ablate.get(layer), excess.get(layer))
            for layer in sorted({*ablate, *excess})
        }


def _lowest(intervention: Intervention) -> int:
    """Nothing held changes anything before something is ablated."""
    return min((feature.layer for feature in intervention.ablated), default=1 << 30)


def by_layer(features: Sequence[FeatureId]) -> dict[int, tuple[list[int], tuple[int, ...]]]:
    """Per layer: where its features stand in `features`, and their indices in the SAE."""
    found: dict[int, tuple[list[int], list[int]]] = {}
    for place, feature in enumerate(features):
        places, indices = found.setdefault(feature.layer, ([], []))
        places.append(place)
        indices.append(feature.index)
    return {layer: (places, tuple(indices)) for layer, (places, indices) in found.items()}
