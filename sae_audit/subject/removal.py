"""Directions taken out of the residual stream, everywhere that something is written to it."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from sae_audit.subject.hooks import Edit, Places

Units = Float[Tensor, "direction d_model"]
"""Directions of length 1 at right angles to each other."""


def project_out(units: Units) -> Edit:
    """`x <- x - sum_i (x . r_i) r_i` at every position."""

    def edit(resid: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row d_model"]:
        here = units.to(resid.device)
        return resid - (resid @ here.T) @ here

    return edit


def everywhere(
    places: Sequence[Places], units: Units
) -> tuple[dict[nn.Module, Edit], dict[nn.Module, Edit]]:
    """Edits of modules' inputs and of their outputs that keep directions out of the whole stream:
    out of what each layer is given, and of what attention, MLP and others add."""
    if not len(units):
        return {}, {}
    edit = project_out(units)
    writers = [module for place in places for module in place.writers]
    return {place.layer: edit for place in places}, dict.fromkeys(writers, edit)
