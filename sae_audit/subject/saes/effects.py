"""Check of a loaded SAE: its weights are finite, and its computation matches its config."""

from typing import Any

import torch
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.subject.saes.settings import SaeConfig

_FEATURES_LAST = {"W_enc", "b_enc", "threshold", "b_gate", "b_mag", "r_mag"}


def check_effects(sae: Any, described: SaeConfig, layer: int, what: str) -> None:
    """Refuse an SAE whose weights or outputs are not finite, or contradict its config.

    Raises:
        AuditError: A weight is NaN or infinite (with layer and feature); a decoder row is zero although
            rows are divided by their norm; sizes or kind differ from the config's; the output for a
            random input is not finite.
    """
    for name, weights in sae.named_parameters():
        _check_finite(name, weights, layer, what)
    claimed = (described.architecture, described.d_model, described.width)
    loaded = (sae.cfg.architecture(), *sae.W_enc.shape)
    if claimed != loaded or tuple(sae.W_dec.shape) != loaded[:0:-1]:
        raise AuditError(
            f"{what} is a {loaded[0]} SAE of {loaded[2]} features on {loaded[1]} dimensions "
            f"(decoder {list(sae.W_dec.shape)}), but its config says {claimed[0]}, {claimed[2]} "
            f"and {claimed[1]}; download it again, or correct its config."
        )
    if getattr(sae.cfg, "k", 1) > loaded[2]:
        raise AuditError(
            f"{what} keeps the {sae.cfg.k} strongest of {loaded[2]} features; its k is that of "
            "another SAE."
        )
    if getattr(sae.cfg, "rescale_acts_by_decoder_norm", False):
        zero = (sae.W_dec.abs().amax(dim=-1) == 0).nonzero()
        if len(zero):
            raise AuditError(
                f"{what} divides by the length of its decoder's rows, and row {int(zero[0])} of "
                f"layer {layer} is zero ({len(zero)} of {loaded[2]} are); save it without "
                "rescale_acts_by_decoder_norm, or without those features."
            )
    _check_answer(sae, layer, what)


def _check_finite(name: str, weights: Tensor, layer: int, what: str) -> None:
    if weights.numel() == 0 or bool(torch.isfinite(torch.stack(weights.aminmax())).all()):
        return
    index = (~torch.isfinite(weights)).nonzero()[0].tolist()
    value = float(weights[tuple(index)])
    row = index[-1] if name in _FEATURES_LAST else index[0]
    of = f"dimension {row}" if name == "b_dec" else f"row {row} (feature {row})"
    raise AuditError(
        f"{what} holds {value} in {name}, {of} of layer {layer}; every weight has to be a finite "
        "number: download it again, or leave that layer out (layers)."
    )


def _check_answer(sae: Any, layer: int, what: str) -> None:
    drawn = torch.Generator().manual_seed(0)
    stream = torch.randn(1, 1, sae.cfg.d_in, generator=drawn).to(sae.W_enc.device, sae.dtype)
    with torch.no_grad():
        acts = sae.encode(stream)
        rebuilt = sae.decode(acts)
    if acts.shape != (1, 1, sae.cfg.d_sae) or rebuilt.shape != stream.shape:
        raise AuditError(
            f"{what} answers an input of {list(stream.shape)} with {list(acts.shape)} activations "
            f"and {list(rebuilt.shape)} values; it is no SAE of the stream at layer {layer}."
        )
    if not bool(torch.isfinite(acts).all() and torch.isfinite(rebuilt).all()):
        raise AuditError(
            f"{what} answers a random input of layer {layer} with values that are no numbers; try "
            "--set sae_dtype=float32, or leave that layer out (layers)."
        )
