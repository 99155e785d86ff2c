"""An adapter added to the weights, as PEFT merges it: W + scaling B A, rounded to the weights' type."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sae_audit.errors import AuditError


def check_mergeable(tuned: Any, kind: str, where: str) -> None:
    """Check that the adapter is plain LoRA on weights that are not quantised.

    Raises:
        AuditError: It is not.
    """
    from peft.tuners.lora import Linear, LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    layers = [one for one in tuned.modules() if isinstance(one, BaseTunerLayer)]
    of_lora = [one for one in layers if isinstance(one, LoraLayer)]
    if not of_lora or len(of_lora) < len(layers):
        raise _unmergeable(where, f"it is a {kind} adapter, not LoRA")
    if any(isinstance(one, AuxiliaryTrainingWrapper) for one in tuned.modules()):
        raise _unmergeable(where, "it replaces whole modules or rows of embeddings")
    if any(one.lora_variant for one in of_lora):
        raise _unmergeable(where, "its LoRA is of a kind that is not linear, such as DoRA")
    if not all(isinstance(one, Linear) and _is_plain(one) for one in of_lora):
        raise _unmergeable(where, "it lies on quantised weights or embeddings")


def _is_plain(layer: Any) -> bool:
    return bool(layer.get_base_layer().weight.dtype.is_floating_point)


def merge(tuned: Any, logits: Callable[[Any], Tensor], *, without: Tensor, where: str) -> Any:
    """The base model with the adapter in its weights, at the strength set before.

    `without` are the logits without the adapter.

    Raises:
        AuditError: Rounding to the weights' type leaves nothing of the adapter, or no numbers.
    """
    changes = not torch.equal(_asked(logits, tuned.get_base_model()), without)
    network = tuned.merge_and_unload().eval()
    found = _asked(logits, network)
    if not bool(torch.isfinite(found).all()):
        raise _unmergeable(where, "its sum with the weights is no number")
    if changes and torch.equal(found, without):
        dtype = str(next(network.parameters()).dtype).removeprefix("torch.")
        raise _unmergeable(where, f"rounded to {dtype} it changes no weight")
    return network


@torch.no_grad()
def _asked(logits: Callable[[Any], Tensor], network: Any) -> Tensor:
    return logits(network)


def _unmergeable(where: str, why: str) -> AuditError:
    return AuditError(
        f"The adapter {where} cannot be merged into the weights: {why}; leave adapter_merged out."
    )
