"""Freezing features at their clean activations: `x <- x - sum_{i in H} (f_i(x) - f_i(x_clean)) d_i`.

A frozen feature keeps its clean activation at every position, whatever was changed before it. The
part of an effect that still arrives downstream does not pass through that feature.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from sae_audit.subject.intervention.ablation import LayerSets
from sae_audit.subject.model.hooks import Edit, Resid
from sae_audit.subject.saes.sae import Sae


def excess_over_clean(
    sae: Sae,
    sets: LayerSets,
    *,
    selected: Bool[Tensor, "rows position"],
    clean: Callable[[], Resid],
) -> Edit:
    """`sum_{i in H} (f_i(x) - f_i(x_clean)) d_i` of one layer's residual stream; row b freezes set b.

    Subtracting it freezes the features. `clean` gives the clean run's stream at this layer.
    """
    member = torch.tensor(sets.member)[:, None, :]

    def excess(resid: Resid) -> Resid:
        values, scale = sae.read(resid, sets.features)
        before, _ = sae.read(clean(), sets.features)
        chosen = selected.to(resid.device)[..., None] & member.to(resid.device)
        # Replaced, not multiplied: a NaN at an unselected position must not spread.
        above = torch.where(chosen, values - before, 0.0) @ sae.rows(sets.features)
        return above if scale is None else above * scale

    return excess


def ablated_and_frozen(ablate: Edit | None, excess: Edit | None) -> Edit:
    """One edit that ablates and freezes; both read the incoming residual stream."""

    def edit(resid: Resid) -> Resid:
        changed = resid if ablate is None else ablate(resid)
        return changed if excess is None else changed - excess(resid).to(resid.dtype)

    return edit
