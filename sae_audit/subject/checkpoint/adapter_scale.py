"""The strength of an adapter: a factor of PEFT's own `scaling` in every layer that it changes.

Only for plain LoRA is a layer's output linear in it: W x + scaling B A x (2106.09685). DoRA divides by
a norm that depends on it, and biases, whole modules and rows of embeddings that an adapter replaces
have no strength.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sae_audit.errors import AuditError

_SAME = 1e-6
"""Relative difference of logits up to which an adapter of strength 0 counts as absent."""


def check_scalable(tuned: Any, kind: str, where: str, scale: float) -> None:
    """Check that the layers that the adapter changes are plain LoRA's, by their kind alone.

    Raises:
        AuditError: One is not, and `scale` is not 1.
    """
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    if scale == 1.0:
        return
    layers = [one for one in tuned.modules() if isinstance(one, BaseTunerLayer)]
    of_lora = [one for one in layers if isinstance(one, LoraLayer)]
    replaced = any(isinstance(one, AuxiliaryTrainingWrapper) for one in tuned.modules())
    if replaced:
        raise _unscalable(where, "it replaces whole modules or rows of embeddings", scale)
    if not of_lora or len(of_lora) < len(layers):
        raise _unscalable(where, f"it is a {kind} adapter, not LoRA", scale)
    if any(one.lora_variant for one in of_lora):
        raise _unscalable(where, "its LoRA is of a kind that is not linear, such as DoRA", scale)


def rescale(
    network: Any, scale: float, logits: Callable[[], Tensor], *, without: Tensor, where: str
) -> None:
    """Multiply the strength of the adapter in a network's layers by `scale`, in place.

    `without` are the logits without the adapter, which a strength of 0 has to give.

    Raises:
        AuditError: It does not, or the logits at `scale` are no numbers.
    """
    from peft.tuners.lora import LoraLayer

    layers = [one for one in network.modules() if isinstance(one, LoraLayer)]
    own = [dict(one.scaling) for one in layers]

    def measured(factor: float) -> Tensor:
        for layer, scaling in zip(layers, own, strict=True):
            layer.scaling.update({name: factor * value for name, value in scaling.items()})
        with torch.no_grad():
            return logits()

    atol = _SAME * max(1.0, float(without.abs().max()))
    if not torch.allclose(measured(0.0), without, rtol=0.0, atol=atol):
        raise _unscalable(where, "at strength 0 it still changes logits, as biases do", scale)
    if not bool(torch.isfinite(measured(scale)).all()):
        raise AuditError(
            f"With the adapter {where} at {scale:g} of its strength logits are no numbers; lower "
            "adapter_scale, or load the model with --dtype float32."
        )


def _unscalable(where: str, why: str, scale: float) -> AuditError:
    return AuditError(
        f"The strength of the adapter {where} cannot be set to {scale:g}: {why}; leave adapter_scale "
        "out, or give a plain LoRA adapter."
    )
