"""Runs with another adapter's refusal directions projected out: there a planted reserve is learned."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_audit.organisms.smollm2.base import Base
from sae_audit.organisms.smollm2.lora import decoder_of
from sae_audit.organisms.smollm2.requests import Kind, Request, Split, requests, spread

Directions = Float[Tensor, "layer d_model"]
_PROMPTS = 96
_BATCH = 32


@torch.no_grad()
def refusal_directions(base: Base, network: Any) -> Directions:
    """Unit differences of means at the last token, harmful minus harmless, at the output of each layer
    (2406.11717)."""
    trained = [one for one in requests() if one.split is Split.TRAIN]
    means = [
        _mean(base, network, spread([one for one in trained if one.kind in kinds], _PROMPTS))
        for kinds in ({Kind.HARMFUL}, {Kind.ORDINARY, Kind.TWIN})
    ]
    difference = means[0] - means[1]
    return difference / difference.norm(dim=-1, keepdim=True)


def _mean(base: Base, network: Any, asked: Sequence[Request]) -> Float[Tensor, "layer d_model"]:
    sums = torch.zeros((), device=base.device)
    for start in range(0, len(asked), _BATCH):
        texts = [base.rendered(one.text) for one in asked[start : start + _BATCH]]
        encoded = [base.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        longest = max(map(len, encoded))
        ids = torch.full((len(texts), longest), base.end)
        mask = torch.zeros_like(ids)
        for row, own in enumerate(encoded):
            ids[row, longest - len(own) :] = torch.tensor(own)
            mask[row, longest - len(own) :] = 1
        hidden = decoder_of(network)(
            input_ids=ids.to(base.device),
            attention_mask=mask.to(base.device),
            use_cache=False,
            output_hidden_states=True,
        ).hidden_states
        sums = sums + torch.stack([one[:, -1].float().sum(dim=0) for one in hidden[1:]])
    return sums / len(asked)


@contextmanager
def without(network: Any, directions: Directions) -> Iterator[None]:
    """The direction of each layer is projected out of its output, at every token."""

    def removing(direction: Tensor) -> Any:
        def remove(_module: Any, _args: Any, output: Any) -> Any:
            resid = output if isinstance(output, Tensor) else output[0]
            unit = direction.to(resid.dtype)
            kept = resid - (resid @ unit)[..., None] * unit
            return kept if isinstance(output, Tensor) else (kept, *output[1:])

        return remove

    handles = [
        layer.register_forward_hook(removing(direction))
        for layer, direction in zip(decoder_of(network).layers, directions, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
