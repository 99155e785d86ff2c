"""Interventions with a direction: projected out of the residual stream, or added at one layer."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_audit.findings import DirectionEvaluation
from sae_audit.subject.intervention.additions import Additions
from sae_audit.subject.intervention.beginnings import Beginnings
from sae_audit.subject.intervention.projected_rows import ProjectedRows
from sae_audit.subject.intervention.readings import Tokens
from sae_audit.subject.model.batches import Batch
from sae_audit.subject.model.clean_run import CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.directional_ablation import (
    Units,
    at_each_write,
    everywhere,
    project_partly_out,
)
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit, Resid
from sae_audit.subject.model.kl import least_kl, next_token_kl
from sae_audit.subject.readout.readout import Readout, margin, margin_bound
from sae_audit.vocabulary import PromptEffects, Removed

_Logits = Float[Tensor, "row vocabulary"]


def add_direction(direction: Float[Tensor, " d_model"]) -> Edit:
    """The edit `x <- x + r` at every position, r not normalised."""

    def edit(resid: Resid) -> Resid:
        return resid + direction.to(resid.device)

    return edit


class DirectionEffects:
    """Bypass, induce and KL of directions on fixed prompts.

    For one direction on all prompts (`on_each`), or for many directions, each on a named prompt
    (`bypass`, `kl`, `induce`, `streams_without`, `streams_with`), as rows of shared batches.
    """

    def __init__(
        self,
        passes: ForwardPasses,
        stack: DecoderLayers,
        runs: CleanRuns,
        harmful: Tokens,
        harmless: Tokens,
        readout: Readout,
        beginnings: Beginnings,
        *,
        behind: Float[np.ndarray, "direction d_model"] | None = None,
    ) -> None:
        """`behind`: orthonormal directions that are projected out in every run, the baseline runs
        included."""
        assert harmful, "no harmful prompts"
        assert harmless, "no harmless prompts"
        self.n_harmful, self.n_harmless = len(harmful), len(harmless)
        self._passes = passes
        self._tokens = (harmful, harmless)
        self._readout = readout
        self._behind = passes.units(behind)
        self._n_alike = beginnings.n_alike([*harmful, *harmless])
        self._harmful = list(passes.batches(harmful))
        self._harmless = [
            (batch, self._without(batch, self._behind)) for batch in passes.batches(harmless)
        ]
        self._rows = ProjectedRows(passes, beginnings, self._behind)
        self._additions = Additions(passes, stack, runs, beginnings, self._behind)
        self._clean: dict[tuple[int, ...], Float[np.ndarray, "harmless layer d_model"]] = {}

    def __call__(
        self, direction: Float[np.ndarray, " d_model"], *, position: int, layer: int
    ) -> DirectionEvaluation:
        """Bypass, induce and KL of `direction`, which was taken at (`position`, `layer`)."""
        found = self.on_each(direction, layer=layer)
        return DirectionEvaluation(
            position=position,
            layer=layer,
            bypass=float(found.bypass.mean()),
            induce=float(found.induce.mean()),
            kl=float(found.kl.mean()),
        )

    def on_each(self, direction: Float[np.ndarray, " d_model"], *, layer: int) -> PromptEffects:
        """Bypass, induce and KL of one direction, prompt by prompt."""
        added = add_direction(self._raw(direction[None])[0])
        induce = np.zeros(self.n_harmless)
        for batch, _ in self._harmless:
            induce[batch.members] = self._scores(
                self._without(
                    batch, self._behind, at={self._passes.layer_modules[layer].layer: added}
                )
            )
        out = self.without((direction / np.linalg.norm(direction))[None])
        return PromptEffects(bypass=out.harmful, induce=induce, harmless=out.harmless, kl=out.kl)

    def without(self, directions: Float[np.ndarray, "direction d_model"]) -> Removed:
        """Effects that remain with `directions` projected out; they are orthonormal, and orthogonal
        to `behind`."""
        units = torch.cat([self._behind, self._passes.units(directions)])
        return self._removed(lambda batch: self._without(batch, units))

    def partly_without(self, direction: Float[np.ndarray, " d_model"], share: float) -> Removed:
        """Effects of removing a share, in [0, 1], of the stream's component along `direction`, of any
        norm, from everything that is written to the stream. At 1, `without` it."""
        assert 0.0 <= share <= 1.0, share
        assert not len(self._behind), "a share behind other directions"
        unit = self._raw((direction / np.linalg.norm(direction))[None])[0]
        inputs, outputs = at_each_write(self._passes.layer_modules, project_partly_out(unit, share))
        return self._removed(lambda batch: self._logits(batch, inputs, outputs))

    def _removed(self, logits_of: Callable[[Batch], _Logits]) -> Removed:
        harmful = np.zeros(self.n_harmful)
        harmless, kl = np.zeros(self.n_harmless), np.zeros(self.n_harmless)
        for batch in self._harmful:
            harmful[batch.members] = self._scores(logits_of(batch))
        for batch, before in self._harmless:
            logits = logits_of(batch)
            harmless[batch.members] = self._scores(logits)
            kl[batch.members] = next_token_kl(before, logits).cpu().numpy()
        return Removed(harmful=harmful, harmless=harmless, kl=kl)

    @property
    def score_bound(self) -> float:
        """Upper bound of the absolute refusal score of any direction."""
        return margin_bound(self._readout)

    @property
    def least_kl(self) -> Float[np.ndarray, " harmless"]:
        """Lower bound of each harmless prompt's KL over all directions, nats."""
        return self._least_kl

    @cached_property
    def _least_kl(self) -> Float[np.ndarray, " harmless"]:
        return least_kl(self._before).cpu().numpy()

    def bypass(
        self, directions: Float[np.ndarray, "row d_model"], prompts: Sequence[int]
    ) -> Float[np.ndarray, " row"]:
        """Refusal score of a harmful prompt with the row's direction projected out, nats."""
        return self._each_without(
            directions, self._tokens[0], prompts, lambda logits, _: self._scores(logits)
        )

    def kl(
        self, directions: Float[np.ndarray, "row d_model"], prompts: Sequence[int]
    ) -> Float[np.ndarray, " row"]:
        """Next-token KL of a harmless prompt with the row's direction projected out, nats."""
        return self._each_without(
            directions,
            self._tokens[1],
            prompts,
            lambda logits, own: next_token_kl(self._before[own], logits).cpu().numpy(),
        )

    def induce(
        self,
        directions: Float[np.ndarray, "row d_model"],
        prompts: Sequence[int],
        layers: Sequence[int],
    ) -> Float[np.ndarray, " row"]:
        """Refusal score of a harmless prompt with the row's direction added at its layer, nats.

        The layers below are those of the remembered clean run.
        """
        scores = np.zeros(len(prompts))
        chosen = [self._tokens[1][i] for i in prompts]
        for rows, logits in self._additions.logits(chosen, self._raw(directions), layers):
            scores[rows] = self._scores(logits)
        return scores

    def clean_streams(
        self, layers: Sequence[int]
    ) -> tuple[
        Float[np.ndarray, "harmful layer d_model"], Float[np.ndarray, "harmless layer d_model"]
    ]:
        """`resid_post` of these layers at each prompt's last token, without a candidate; float64."""
        harmful, harmless = (self._additions.clean_streams(own, layers) for own in self._tokens)
        return harmful, harmless

    def streams_without(
        self,
        directions: Float[np.ndarray, "row d_model"],
        prompts: Sequence[int],
        layers: Sequence[int],
    ) -> Float[np.ndarray, "row layer d_model"]:
        """`resid_post` of these layers at a harmful prompt's last token, the row's direction projected
        out; layers above the last of them are not run."""
        found = np.zeros((len(prompts), len(layers), directions.shape[1]))
        columns = {layer: column for column, layer in enumerate(layers)}
        chosen = [self._tokens[0][i] for i in prompts]
        for batch, inputs, outputs in self._rows.batches(directions, chosen):

            def note(layer: int, resid: Resid, batch: Batch = batch) -> None:
                last = batch.ending(resid, 1)[:, 0]
                found[batch.members, columns[layer]] = last.double().cpu().numpy()

            self._passes.read(
                batch.ids,
                layers,
                note,
                lengths=batch.lengths,
                inputs=inputs,
                writers=outputs,
                whole=False,
            )
        return found

    def streams_with(
        self,
        directions: Float[np.ndarray, "row d_model"],
        prompts: Sequence[int],
        added_at: Sequence[int],
        layers: Sequence[int],
    ) -> Float[np.ndarray, "row layer d_model"]:
        """`resid_post` at a harmless prompt's last token, the row's direction added at its layer.

        The layers below that one are those of the remembered clean run.
        """
        chosen = [self._tokens[1][i] for i in prompts]
        found = self._clean_harmless(tuple(layers))[list(prompts)]
        raw = self._raw(directions)
        for rows, layer, changed in self._additions.streams(chosen, raw, added_at, layers):
            found[rows, layers.index(layer)] = changed.numpy()
        return found

    def _clean_harmless(
        self, layers: tuple[int, ...]
    ) -> Float[np.ndarray, "harmless layer d_model"]:
        if layers not in self._clean:
            self._clean = {layers: self._additions.clean_streams(self._tokens[1], layers)}
        return self._clean[layers]

    def _each_without(
        self,
        directions: Float[np.ndarray, "row d_model"],
        tokens: Tokens,
        prompts: Sequence[int],
        measure: Callable[[_Logits, list[int]], Float[np.ndarray, " row"]],
    ) -> Float[np.ndarray, " row"]:
        found = np.zeros(len(prompts))
        for rows, logits in self._rows.logits(directions, [tokens[i] for i in prompts]):
            found[rows] = measure(logits, [prompts[i] for i in rows])
        return found

    @cached_property
    def _before(self) -> Float[Tensor, "harmless vocabulary"]:
        """Logits of the harmless prompts without a candidate, in the order of the prompts."""
        order = [i for batch, _ in self._harmless for i in batch.members]
        logits = torch.cat([before for _, before in self._harmless])
        return logits[np.argsort(order)]

    def _raw(self, directions: Float[np.ndarray, "row d_model"]) -> Float[Tensor, "row d_model"]:
        return torch.tensor(directions, dtype=self._passes.model.dtype, device=self._passes.device)

    def _scores(self, logits: _Logits) -> Float[np.ndarray, " row"]:
        return margin(self._readout, logits).cpu().numpy()

    def _without(
        self, batch: Batch, units: Units, *, at: Mapping[nn.Module, Edit] | None = None
    ) -> _Logits:
        inputs, outputs = everywhere(self._passes.layer_modules, units)
        return self._logits(batch, inputs, {**outputs, **(at or {})})

    def _logits(
        self, batch: Batch, inputs: dict[nn.Module, Edit], outputs: dict[nn.Module, Edit]
    ) -> _Logits:
        return self._passes.logits_under(
            batch, n_alike=self._n_alike, inputs=inputs, outputs=outputs
        )
