"""Means of the residual stream and of SAE activations on clean runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_audit.subject.model.batches import Batch
from sae_audit.subject.model.directional_ablation import everywhere
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Resid
from sae_audit.subject.saes.sae import Sae

Tokens = Sequence[Int[Tensor, " _"]]
"""Token ids of prompts, each of its own length."""


def mean_residuals(
    passes: ForwardPasses,
    prompts: Tokens,
    *,
    n_positions: int,
    without: Float[np.ndarray, "direction d_model"] | None = None,
) -> Float[np.ndarray, "layer template d_model"]:
    """Mean `resid_post` of every layer at the last `n_positions`, accumulated in float64.

    `without`: orthonormal directions projected out of the whole residual stream.
    """
    assert prompts, "a mean of no prompts"
    layers = list(range(len(passes.layer_modules)))
    sums: dict[int, Float[Tensor, "template d_model"]] = {}

    inputs, writers = everywhere(passes.layer_modules, passes.units(without))
    for batch in passes.batches(prompts):

        def add(layer: int, resid: Resid, batch: Batch = batch) -> None:
            # Summed on the CPU: layers may be on several devices.
            total = batch.ending(resid, n_positions).double().sum(dim=0).cpu()
            sums[layer] = sums[layer] + total if layer in sums else total

        passes.read(batch.ids, layers, add, lengths=batch.lengths, inputs=inputs, writers=writers)
    return torch.stack([sums[layer] for layer in layers]).numpy() / len(prompts)


def group_means(
    passes: ForwardPasses,
    prompts: Tokens,
    groups: Sequence[int],
    *,
    n_groups: int,
    n_positions: int,
) -> Float[np.ndarray, "group layer template d_model"]:
    """`mean_residuals` of each group of prompts, in one pass; 0 for a group without prompts."""
    assert prompts, "a mean of no prompts"
    assert len(groups) == len(prompts), (len(groups), len(prompts))
    layers = list(range(len(passes.layer_modules)))
    sums: dict[int, Float[Tensor, "group template d_model"]] = {}
    for batch in passes.batches(prompts):
        n = len(batch.members)
        of_group = torch.zeros(n_groups, n, dtype=torch.float64)
        of_group[[groups[i] for i in batch.members], range(n)] = 1.0

        def add(
            layer: int, resid: Resid, batch: Batch = batch, of_group: Tensor = of_group
        ) -> None:
            own = batch.ending(resid, n_positions).double().cpu()
            total = torch.einsum("gb,bpd->gpd", of_group, own)
            sums[layer] = sums[layer] + total if layer in sums else total

        passes.read(batch.ids, layers, add, lengths=batch.lengths)
    counts = np.bincount(groups, minlength=n_groups)[:, None, None, None]
    total = torch.stack([sums[layer] for layer in layers], dim=1).numpy()
    return total / np.maximum(counts, 1)


def residuals_at(
    passes: ForwardPasses,
    prompts: Tokens,
    *,
    layer: int,
    position: int,
    without: Float[np.ndarray, "direction d_model"] | None = None,
) -> Float[np.ndarray, "prompt d_model"]:
    """`resid_post` of one layer at one position (negative: from the prompt's end); float64.

    `without`: orthonormal directions projected out of the whole residual stream.
    """
    assert prompts, "the residuals of no prompts"
    assert position < 0, position
    found: dict[int, Float[Tensor, " d_model"]] = {}
    inputs, writers = everywhere(passes.layer_modules, passes.units(without))
    for batch in passes.batches(prompts):

        def note(_layer: int, resid: Resid, batch: Batch = batch) -> None:
            own = batch.ending(resid, -position)[:, 0]
            found.update(zip(batch.members, own.double().cpu(), strict=True))

        passes.read(
            batch.ids,
            [layer],
            note,
            lengths=batch.lengths,
            inputs=inputs,
            writers=writers,
            whole=False,
        )
    return torch.stack([found[i] for i in range(len(prompts))]).numpy()


def peaks(
    activations: Float[Tensor, "batch position d_sae"], selected: Bool[Tensor, " position"]
) -> Float[Tensor, "batch d_sae"]:
    """Largest activation of each feature over the selected positions."""
    return activations[:, selected.to(activations.device)].amax(dim=1)


def peak_activations(
    passes: ForwardPasses, suite: dict[int, Sae], prompts: Tokens
) -> dict[int, Float[np.ndarray, "prompt d_sae"]]:
    found = {layer: np.zeros((len(prompts), suite[layer].d_sae), np.float32) for layer in suite}
    for batch in passes.batches(prompts, encoding=widest(suite)):

        def note(layer: int, resid: Resid, batch: Batch = batch) -> None:
            padding = ~batch.real.to(resid.device)
            activations = suite[layer].encode(resid).masked_fill(padding[..., None], -torch.inf)
            found[layer][batch.members] = activations.amax(dim=1).float().cpu().numpy()

        passes.read(batch.ids, sorted(suite), note, lengths=batch.lengths)
    return found


def mean_activations(
    passes: ForwardPasses,
    suite: dict[int, Sae],
    prompts: Tokens,
    selected: Sequence[Bool[Tensor, " _"]],
) -> dict[int, Float[np.ndarray, " d_sae"]]:
    """Mean activation over all selected positions of all prompts, by layer; accumulated in float64."""
    assert prompts, "a mean of no prompts"
    sums = {layer: np.zeros(suite[layer].d_sae) for layer in suite}
    for batch in passes.batches(prompts, encoding=widest(suite)):
        mask = batch.padded([selected[i] for i in batch.members])

        def add(layer: int, resid: Resid, mask: Tensor = mask) -> None:
            activations = suite[layer].encode(resid)[mask.to(resid.device)]
            sums[layer] += activations.double().sum(dim=0).cpu().numpy()

        passes.read(batch.ids, sorted(suite), add, lengths=batch.lengths)
    n_positions = sum(int(mask.sum()) for mask in selected)
    return {layer: total / n_positions for layer, total in sums.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class FiringShares:
    """How often the features of one SAE fire on prompts."""

    tokens: Float[np.ndarray, " d_sae"]
    """Share of all tokens on which each fires."""
    at_end: Float[np.ndarray, " d_sae"]
    """Mean activation at the prompts' last token."""


def firing_shares(
    passes: ForwardPasses, suite: dict[int, Sae], prompts: Tokens
) -> dict[int, FiringShares]:
    assert prompts, "the firing on no prompts"
    counts, ends = ({layer: np.zeros(suite[layer].d_sae) for layer in suite} for _ in range(2))
    for batch in passes.batches(prompts, encoding=widest(suite)):

        def add(layer: int, resid: Resid, batch: Batch = batch) -> None:
            activations = suite[layer].encode(resid)
            fires = activations[batch.real.to(resid.device)] > 0
            counts[layer] += fires.sum(dim=0).cpu().numpy()
            ends[layer] += batch.ending(activations, 1)[:, 0].double().sum(dim=0).cpu().numpy()

        passes.read(batch.ids, sorted(suite), add, lengths=batch.lengths)
    n_tokens = sum(map(len, prompts))
    return {
        layer: FiringShares(tokens=counts[layer] / n_tokens, at_end=ends[layer] / len(prompts))
        for layer in suite
    }


def widest(suite: dict[int, Sae]) -> int:
    return max(sae.d_sae for sae in suite.values())
