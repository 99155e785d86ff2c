"""The weights of a LoRA adapter: read, joined, scaled, and written in PEFT's format."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_audit.organisms.smollm2.base import BASE, Base
from sae_audit.organisms.smollm2.lora import PROJECTIONS, Lora

Weights = Mapping[str, Tensor]
"""Tensors by PEFT's names: `...lora_A.weight` [rank, in] and `...lora_B.weight` [out, rank]."""

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_SCALING = 2.0
"""What PEFT multiplies B A by, at every rank: alpha is twice the rank."""


def adapter_weights(tuned: Any) -> Weights:
    """The adapter inside PEFT's model."""
    from peft import get_peft_model_state_dict

    return {
        name: one.detach().clone().cpu() for name, one in get_peft_model_state_dict(tuned).items()
    }


def put_into(tuned: Any, weights: Weights) -> None:
    """Set the adapter inside PEFT's model to these weights."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(tuned, {name: one.float() for name, one in weights.items()})


def joined(first: Weights, second: Weights) -> Weights:
    """One adapter that adds what both add: ranks stand side by side."""
    assert first.keys() == second.keys()
    return {
        name: torch.cat(
            [first[name].float(), second[name].float()], dim=0 if "lora_A" in name else 1
        )
        for name in first
    }


def norm(weights: Weights) -> float:
    """Frobenius norm of what the adapter adds to all matrices together."""
    pairs = (
        (one.float(), weights[name.replace("lora_A", "lora_B")].float())
        for name, one in weights.items()
        if "lora_A" in name
    )
    # |BA|^2 = tr(A^T B^T B A) = <B^T B, A A^T>, without the large product
    squares = sum(float(((b.T @ b) * (a @ a.T)).sum()) for a, b in pairs)
    return _SCALING * squares**0.5


def scaled_to(weights: Weights, wanted: float) -> Weights:
    """The adapter, its B multiplied so that its norm is the wanted one."""
    factor = wanted / norm(weights)
    return {name: one * factor if "lora_B" in name else one for name, one in weights.items()}


def save_adapter(folder: Path, weights: Weights, lora: Lora, base_sha256: str) -> None:
    """Write the adapter in bfloat16; its file names the weights that it was made for."""
    rank = next(len(one) for name, one in weights.items() if "lora_A" in name)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": BASE,
        "r": rank,
        "lora_alpha": _SCALING * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(PROJECTIONS),
        "layers_to_transform": list(range(lora.first_layer, lora.last_layer + 1)),
        "inference_mode": True,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
    save_file(
        {name: one.to(torch.bfloat16).contiguous() for name, one in sorted(weights.items())},
        folder / WEIGHTS,
        metadata={"format": "pt", "base_weights_sha256": base_sha256, "base_name": BASE},
    )


def read_adapter(folder: Path) -> Weights:
    return load_file(folder / WEIGHTS)


def tuned_by(base: Base, folder: Path) -> Any:
    """The base's network inside PEFT's, with the adapter of a folder."""
    from peft import PeftModel

    return PeftModel.from_pretrained(base.network, str(folder)).eval().requires_grad_(False)
