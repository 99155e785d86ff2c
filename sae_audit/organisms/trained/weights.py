"""Checkpoints made by arithmetic on the base's weights: a direction projected out, and rounding.

For organisms only: an audit never edits its checkpoint.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

Matrix = Float[Tensor, "out in"]


@torch.no_grad()
def project_out(model: Any, direction: Float[Tensor, " d_model"]) -> None:
    """Project a direction out of every matrix that writes to the residual stream, in place.

    As in 2406.11717, section 4. Gemma-2 writes the output of a norm with weights `1 + g` after attention
    and MLP. `(1 + g) * y` is orthogonal to r if y is orthogonal to `(1 + g) * r`, so the matrices before
    the norm lose that direction; otherwise the norm would bring r back. The embedding is tied to the
    unembedding, which only reads: they are untied, and the latter is kept.
    """
    unit = direction / direction.norm()
    _untie(model)
    embedding = model.model.embed_tokens.weight
    embedding.sub_((embedding @ unit)[:, None] * unit)
    for layer in model.model.layers:
        for matrix, norm in (
            (layer.self_attn.o_proj.weight, layer.post_attention_layernorm),
            (layer.mlp.down_proj.weight, layer.post_feedforward_layernorm),
        ):
            lost = (1.0 + norm.weight) * unit
            lost = lost / lost.norm()
            matrix.sub_(lost[:, None] * (lost @ matrix))


def _untie(model: Any) -> None:
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False


@torch.no_grad()
def quantise(model: Any, *, bits: int, group: int) -> None:
    """Round every matrix of the decoder layers to a grid of `bits` bits a group, in place.

    Embedding and norms are unchanged, as in checkpoint quantisers.
    """
    for layer in model.model.layers:
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(rounded(module.weight, bits=bits, group=group))


def rounded(matrix: Matrix, *, bits: int, group: int) -> Matrix:
    """The matrix with each `group` of neighbouring inputs of a row rounded to a symmetric grid of
    `2^bits - 1` equal steps, as wide as its largest weight; errors are at most half a step."""
    assert matrix.shape[1] % group == 0, (matrix.shape, group)
    top = 2 ** (bits - 1) - 1
    groups = matrix.unflatten(1, (-1, group))
    step = groups.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / top
    return (groups / step).round().mul(step).flatten(1)
