"""Holding features where they were: `x <- x - sum_{i in H} (f_i(x) - f_i(x_clean)) d_i`.

What is held keeps, position by position, the activation it had on the clean run, whatever was
changed before it. It answers what runs through a feature: hold it, and what still arrives
downstream went another way.
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
    """`sum_{i in H} (f_i(x) - f_i(x_clean)) d_i` of one layer's stream, row b holding set b.

    Taking it away holds the features. `clean` gives the clean run's stream at this layer.
    """
    member = torch.tensor(sets.member)[:, None, :]

    def excess(resid: Resid) -> Resid:
        values, scale = sae.read(resid, sets.features)
        before, _ = sae.read(clean(), sets.features)
        chosen = selected.to(resid.device)[..., None] & member.to(resid.device)
        # Replaced, not multiplied: what an unselected position holds, even a NaN, is no part of it.
        above = torch.where(chosen, values - before, 0.0) @ sae.rows(sets.features)
        return above if scale is None else above * scale

    return excess


def ablated_and_held(ablate: Edit | None, excess: Edit | None) -> Edit:
    """One edit that does both: each reads the stream as it arrives."""

    def edit(resid: Resid) -> Resid:
        changed = resid if ablate is None else ablate(resid)
        return changed if excess is None else changed - excess(resid).to(resid.dtype)

    return edit
