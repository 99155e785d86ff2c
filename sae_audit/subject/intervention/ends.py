"""Activations at the template positions, where the chat template ends and the answer begins."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.subject.intervention.readings import Tokens, widest
from sae_audit.subject.model.batches import Batch
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Resid
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import TemplateActivations

Peaks = dict[int, Float[np.ndarray, "prompt d_sae"]]


class _Gathered:
    """Activations of one layer at the ends of prompts, batch by batch; features that never fire there
    are left out as soon as they are read, since most of a wide SAE does not."""

    def __init__(self, n_prompts: int, n_positions: int) -> None:
        self._shape = (n_prompts, n_positions)
        self._factor = np.ones(self._shape, np.float32)
        self._read: list[tuple[list[int], Int[np.ndarray, " _"], Float[np.ndarray, "_ _ _"]]] = []

    def add(
        self,
        members: list[int],
        values: Float[Tensor, "batch position d_sae"],
        factor: Float[Tensor, "batch position 1"] | None,
    ) -> None:
        fires = (values != 0).flatten(end_dim=1).any(dim=0).nonzero()[:, 0]
        own = values[..., fires].float().cpu().numpy()
        self._read.append((members, fires.cpu().numpy(), own))
        if factor is not None:
            self._factor[members] = factor[..., 0].float().cpu().numpy()

    def whole(self) -> TemplateActivations:
        index = np.unique(np.concatenate([fires for _, fires, _ in self._read]))
        values = np.zeros((*self._shape, len(index)), np.float32)
        for members, fires, own in self._read:
            rows, columns = np.array(members)[:, None], np.searchsorted(index, fires)[None]
            values[rows, :, columns] = own.transpose(0, 2, 1)
        return TemplateActivations(index=index, values=values, factor=self._factor)


def template_activations(
    passes: ForwardPasses, suite: dict[int, Sae], prompts: Tokens, *, n_positions: int
) -> dict[int, TemplateActivations]:
    """Clean activations at the last `n_positions` of each prompt, by layer; other positions are not
    encoded."""

    def read(sae: Sae, resid: Resid, batch: Batch, gathered: _Gathered) -> None:
        ends = batch.ending(resid, n_positions)
        gathered.add(batch.members, sae.encode(ends), sae.scale(ends))

    return _each_layer(passes, suite, prompts, n_positions, read, encoding=0)


def peaks_and_ends(
    passes: ForwardPasses, suite: dict[int, Sae], prompts: Tokens, *, n_positions: int
) -> tuple[Peaks, dict[int, TemplateActivations]]:
    """`readings.peak_activations` and `template_activations`, from the same passes."""
    peaks = {layer: np.zeros((len(prompts), suite[layer].d_sae), np.float32) for layer in suite}

    def read(sae: Sae, resid: Resid, batch: Batch, gathered: _Gathered) -> None:
        activations = sae.encode(resid)
        factor = sae.scale(resid)
        gathered.add(
            batch.members,
            batch.ending(activations, n_positions),
            None if factor is None else batch.ending(factor, n_positions),
        )
        padding = ~batch.real.to(resid.device)
        highest = activations.masked_fill(padding[..., None], -torch.inf).amax(dim=1)
        peaks[sae.layer][batch.members] = highest.float().cpu().numpy()

    ends = _each_layer(passes, suite, prompts, n_positions, read, encoding=widest(suite))
    return peaks, ends


def _each_layer(
    passes: ForwardPasses,
    suite: dict[int, Sae],
    prompts: Tokens,
    n_positions: int,
    read: Callable[[Sae, Resid, Batch, _Gathered], None],
    *,
    encoding: int,
) -> dict[int, TemplateActivations]:
    assert prompts, "the activations on no prompts"
    gathered = {layer: _Gathered(len(prompts), n_positions) for layer in suite}
    for batch in passes.batches(prompts, encoding=encoding):

        def note(layer: int, resid: Resid, batch: Batch = batch) -> None:
            read(suite[layer], resid, batch, gathered[layer])

        passes.read(batch.ids, sorted(suite), note, lengths=batch.lengths)
    return {layer: own.whole() for layer, own in gathered.items()}
