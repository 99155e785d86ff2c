"""Interventions with a direction: projected out of the stream everywhere, or added at one layer."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.findings import DirectionEvaluation
from sae_audit.subject.hooks import Edit, Resid
from sae_audit.subject.passes import Batch, Passes
from sae_audit.subject.readings import Tokens
from sae_audit.subject.score import refusal_score
from sae_audit.vocabulary import PromptEffects

_LOG_EPSILON = 1e-6


def project_out(unit: Float[Tensor, " d_model"]) -> Edit:
    """`x <- x - (x . r) r` at every position, for a unit vector r."""

    def edit(resid: Resid) -> Resid:
        here = unit.to(resid.device)
        return resid - (resid @ here)[..., None] * here

    return edit


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
    ) -> None:
        assert harmful, "no harmful prompts"
        assert harmless, "no harmless prompts"
        self._passes = passes
        self._refusal_tokens = refusal_tokens
        self._harmful = list(passes.batches(harmful))
        self._harmless = [
            (members, ids, passes.last_logits(ids)) for members, ids in passes.batches(harmless)
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
        device, dtype = self._passes.device, self._passes.model.dtype
        vector = torch.tensor(direction, dtype=torch.float64, device=device)
        unit, raw = (vector / vector.norm()).to(dtype), vector.to(dtype)
        added = {self._passes.places[layer].layer: add_direction(raw)}
        bypass = np.zeros(self._n_harmful)
        induce, kl = np.zeros(self._n_harmless), np.zeros(self._n_harmless)
        for members, ids in self._harmful:
            bypass[members] = self._scores(self._without(ids, unit))
        for members, ids, clean in self._harmless:
            induce[members] = self._scores(self._passes.last_logits(ids, outputs=added))
            kl[members] = next_token_kl(clean, self._without(ids, unit)).cpu().numpy()
        return PromptEffects(bypass=bypass, induce=induce, kl=kl)

    def _scores(self, logits: Float[Tensor, "batch vocabulary"]) -> Float[np.ndarray, " batch"]:
        return refusal_score(logits, self._refusal_tokens).cpu().numpy()

    def _without(
        self, ids: Batch, unit: Float[Tensor, " d_model"]
    ) -> Float[Tensor, "batch vocabulary"]:
        edit = project_out(unit)
        places = self._passes.places
        writers = [module for place in places for module in (place.attention, place.mlp)]
        return self._passes.last_logits(
            ids,
            inputs={place.layer: edit for place in places},
            outputs=dict.fromkeys(writers, edit),
        )
