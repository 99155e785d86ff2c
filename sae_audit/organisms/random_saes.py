"""SAEs with random weights, through which every finding is due to chance."""

from typing import Any

import torch


def randomise(sae: Any, *, layer: int, seed: int) -> None:
    """Give an SAE of any sae_lens architecture random weights and a layer.

    About a third of its features fire on a token of a small random model.
    """
    random = torch.Generator().manual_seed(1000 * seed + layer)
    with torch.no_grad():
        for name, parameter in sorted(sae.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
            if name == "threshold":
                parameter.abs_()
        sae.W_dec.copy_(torch.nn.functional.normalize(sae.W_dec, dim=-1))
    sae.cfg.metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    sae.cfg.metadata.model_name = "random"
