"""Interventions with a direction: projected out of the stream everywhere, or added at one layer."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sae_audit.findings import DirectionEvaluation
from sae_audit.subject.batches import Batch
from sae_audit.subject.hooks import Edit, Resid
from sae_audit.subject.passes import Passes
from sae_audit.subject.readings import Tokens
from sae_audit.subject.removal import Units, everywhere
from sae_audit.subject.score import refusal_score
from sae_audit.vocabulary import PromptEffects, Removed

_LOG_EPSILON = 1e-6


def add_direction(direction: Float[Tensor, " d_model"]) -> Edit:
    """`x <- x + r` at every position, r un-normalised."""

    def edit(resid: Resid) -> Resid:
        return resid + direction.to(resid.device)

    return edit


def next_token_kl(
    clean: Float[Tensor, "batch vocabulary"], changed: Float[Tensor, "batch vocabulary"]
) -> Float[Tensor, " batch"]:
    """`sum p_a (log(p_a + 1e-6) - log(p_b + 1e-6))`, nats, float64 (2406.11717)."""
    p_clean, p_changed = clean.double().softmax(-1), changed.double().softmax(-1)
    logs = (p_clean + _LOG_EPSILON).log() - (p_changed + _LOG_EPSILON).log()
    return (p_clean * logs).sum(dim=-1)


class DirectionEffects:
    """Bypass, induce and KL of directions on fixed prompts."""

    def __init__(
        self,
        passes: Passes,
        harmful: Tokens,
        harmless: Tokens,
        refusal_tokens: Int[Tensor, " token"],
        *,
        behind: Float[np.ndarray, "direction d_model"] | None = None,
    ) -> None:
        """`behind`: unit directions at right angles that are out of the stream in every run, those
        that others are measured against included."""
        assert harmful, "no harmful prompts"
        assert harmless, "no harmless prompts"
        self._passes = passes
        self._refusal_tokens = refusal_tokens
        self._behind = passes.units(behind)
        self._harmful = list(passes.batches(harmful))
        self._harmless = [
            (batch, self._without(batch, self._behind)) for batch in passes.batches(harmless)
        ]
        self._n_harmful, self._n_harmless = len(harmful), len(harmless)

    def __call__(
        self, direction: Float[np.ndarray, " d_model"], *, position: int, layer: int
    ) -> DirectionEvaluation:
        """What `direction`, taken at (`position`, `layer`), does when projected out and when added."""
        found = self.on_each(direction, layer=layer)
        return DirectionEvaluation(
            position=position,
            layer=layer,
            bypass=float(found.bypass.mean()),
            induce=float(found.induce.mean()),
            kl=float(found.kl.mean()),
        )

    def on_each(self, direction: Float[np.ndarray, " d_model"], *, layer: int) -> PromptEffects:
        """The same prompt by prompt."""
        raw = torch.tensor(direction, dtype=self._passes.model.dtype, device=self._passes.device)
        added = add_direction(raw)
        induce = np.zeros(self._n_harmless)
        for batch, _ in self._harmless:
            induce[batch.members] = self._scores(
                self._without(batch, self._behind, at={self._passes.places[layer].layer: added})
            )
        out = self.without((direction / np.linalg.norm(direction))[None])
        return PromptEffects(bypass=out.harmful, induce=induce, harmless=out.harmless, kl=out.kl)

    def without(self, directions: Float[np.ndarray, "direction d_model"]) -> Removed:
        """What is left with unit directions out of the stream, at right angles to each other and to
        those that are out in any case."""
        units = self._passes.units(directions)
        units = torch.cat([self._behind, units]) if len(self._behind) else units
        harmful = np.zeros(self._n_harmful)
        harmless, kl = np.zeros(self._n_harmless), np.zeros(self._n_harmless)
        for batch in self._harmful:
            harmful[batch.members] = self._scores(self._without(batch, units))
        for batch, before in self._harmless:
            logits = self._without(batch, units)
            harmless[batch.members] = self._scores(logits)
            kl[batch.members] = next_token_kl(before, logits).cpu().numpy()
        return Removed(harmful=harmful, harmless=harmless, kl=kl)

    def _scores(self, logits: Float[Tensor, "batch vocabulary"]) -> Float[np.ndarray, " batch"]:
        return refusal_score(logits, self._refusal_tokens).cpu().numpy()

    def _without(
        self, batch: Batch, units: Units, *, at: Mapping[nn.Module, Edit] | None = None
    ) -> Float[Tensor, "batch vocabulary"]:
        inputs, outputs = everywhere(self._passes.places, units)
        outputs = {**outputs, **(at or {})}
        return self._passes.last_logits(
            batch.ids, lengths=batch.lengths, inputs=inputs, outputs=outputs
        )
