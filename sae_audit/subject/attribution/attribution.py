"""Attribution: first-order estimate of the effect of ablating each feature on the refusal score.

    drop_i = sum over ablated positions of scale * (f_i - clamp_i) * (d_i . dm/dx)

m is the refusal score and dm/dx its gradient at the `resid_post` that feature i writes to, so one
backward pass gives the drop of every feature of every layer (2403.19647, attribution patching). The
clean gradient misses saturated effects. With `steps` above 1 it is averaged over that many points
between the stream and its ablated end (integrated gradients, 2505.23556): there features move by the
ablation scale to their clamps and the SAE's error to zero, one layer at a time.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_audit.subject.model.clean_run import CleanRun
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.hooks import Resid
from sae_audit.subject.readout.readout import Readout, margin
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import Ablation

Drops = dict[int, Float[Tensor, " d_sae"]]
"""Estimated drop of the refusal score, nats, for every feature, by layer."""


def attribution(
    stack: DecoderLayers,
    suite: Mapping[int, Sae],
    run: CleanRun,
    selected: Bool[Tensor, " position"],
    readout: Readout,
    ablation: Ablation,
    *,
    steps: int,
) -> Drops:
    """The estimated drop (nats) of every feature of the suite on one prompt."""
    layers = sorted(suite)
    if steps == 1:
        if not run.gradients.keys() >= set(layers):
            run.gradients.update(_gradients(stack, run, layers[0], layers, readout))
        gradients = run.gradients
    else:
        gradients = {
            layer: _mean_gradient(stack, suite[layer], run, selected, readout, ablation, steps)
            for layer in layers
        }
    return {
        layer: _drops(suite[layer], run.resid[layer], gradients[layer], selected, ablation)
        for layer in layers
    }


def _gradients(
    stack: DecoderLayers,
    run: CleanRun,
    start: int,
    layers: Sequence[int],
    readout: Readout,
) -> dict[int, Float[Tensor, "position d_model"]]:
    """Gradient of the refusal score at `resid_post` of each layer, by one backward pass."""
    with torch.enable_grad():
        streams = {start: run.resid[start][None].detach().clone().requires_grad_()}
        score = _onwards(stack, run, start, streams[start], readout, streams)
        found = torch.autograd.grad(score.sum(), [streams[layer] for layer in layers])
    return {layer: gradient[0] for layer, gradient in zip(layers, found, strict=True)}


def _mean_gradient(
    stack: DecoderLayers,
    sae: Sae,
    run: CleanRun,
    selected: Bool[Tensor, " position"],
    readout: Readout,
    ablation: Ablation,
    steps: int,
) -> Float[Tensor, "position d_model"]:
    resid = run.resid[sae.layer][None]
    with torch.no_grad():
        clamped = sae.clamps(ablation.clamp).expand(1, run.length, -1)
        end = sae.decode(clamped, resid).to(resid.dtype)
        end = torch.where(selected[:, None].to(resid.device), end, resid)
        shares = torch.arange(steps, device=resid.device, dtype=resid.dtype) / steps
        shares = shares * ablation.scale
        points = torch.lerp(
            resid.expand(steps, -1, -1), end.expand(steps, -1, -1), shares[:, None, None]
        )
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        score = _onwards(stack, run, sae.layer, points, readout, {})
        (gradient,) = torch.autograd.grad(score.sum(), [points])
    return gradient.mean(dim=0)


def _onwards(
    stack: DecoderLayers,
    run: CleanRun,
    start: int,
    resid: Resid,
    readout: Readout,
    streams: dict[int, Tensor],
) -> Float[Tensor, " row"]:
    """Refusal scores of residual streams that enter after layer `start`; fills `streams` on the way."""
    batch = stack.suffixes([run], run.length)
    owner = torch.zeros(len(resid), dtype=torch.long, device=resid.device)
    for layer in range(start + 1, stack.n_layers):
        resid = stack.run(layer, resid, batch, owner, whole=True)
        streams[layer] = resid
    return margin(readout, stack.head(resid[:, -1]))


@torch.no_grad()
def _drops(
    sae: Sae,
    resid: Float[Tensor, "position d_model"],
    gradient: Float[Tensor, "position d_model"],
    selected: Bool[Tensor, " position"],
    ablation: Ablation,
) -> Float[Tensor, " d_sae"]:
    here = selected.nonzero()[:, 0].to(resid.device)
    stream = resid[here][None]
    activations = sae.encode(stream)[0]
    scale = sae.scale(stream)
    slope = gradient[here].to(activations.dtype) @ sae.unit_rows().T
    if scale is not None:
        slope = slope * scale[0]
    excess = ablation.scale * (activations - sae.clamps(ablation.clamp))
    return (excess * slope).sum(dim=0)
