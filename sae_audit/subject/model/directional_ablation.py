"""Directional ablation: directions projected out of the residual stream at every module that writes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_audit.subject.model.hooks import Edit, LayerModules, Resid

Units = Float[Tensor, "direction d_model"]
"""Orthonormal directions."""


def project_out(units: Units) -> Edit:
    """The edit `x <- x - sum_i (x . r_i) r_i` at every position."""

    def edit(resid: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row d_model"]:
        here = units.to(resid.device)
        return resid - (resid @ here.T) @ here

    return edit


def project_partly_out(unit: Float[Tensor, " d_model"], share: float) -> Edit:
    """The edit `x <- x - share * (x . r) r` at every position."""

    def edit(resid: Resid) -> Resid:
        here = unit.to(resid.device)
        return resid - share * (resid @ here)[..., None] * here

    return edit


def project_out_of_rows(own: Float[Tensor, "batch d_model"], shared: Units) -> Edit:
    """The edit that projects out each row's own unit direction and the `shared` ones."""

    all_rows = project_out(shared)

    def edit(resid: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row d_model"]:
        here = own.to(resid.device)
        # OPT's feed-forward layers see the positions of all rows behind each other.
        rows = resid.reshape(len(here), -1, resid.shape[-1])
        removed = torch.bmm(rows, here[:, :, None]) * here[:, None]
        return (all_rows(resid) if len(shared) else resid) - removed.reshape(resid.shape)

    return edit


def everywhere(
    modules: Sequence[LayerModules], units: Units
) -> tuple[dict[nn.Module, Edit], dict[nn.Module, Edit]]:
    """Edits of module inputs and outputs that project directions out of the whole residual stream."""
    return at_all_writers(modules, project_out(units)) if len(units) else ({}, {})


def at_all_writers(
    modules: Sequence[LayerModules], edit: Edit
) -> tuple[dict[nn.Module, Edit], dict[nn.Module, Edit]]:
    """`edit` on each layer's input and on each output that is added to the residual stream."""
    writers = [module for own in modules for module in own.writers]
    return {own.layer: edit for own in modules}, dict.fromkeys(writers, edit)


def at_each_write(
    modules: Sequence[LayerModules], edit: Edit
) -> tuple[dict[nn.Module, Edit], dict[nn.Module, Edit]]:
    """`edit` once on everything that is written to the residual stream: on the first layer's input, and
    on each output that is added. A linear edit then applies to the stream once, not once a layer."""
    inputs, outputs = at_all_writers(modules, edit)
    return {modules[0].layer: inputs[modules[0].layer]}, outputs
