"""Ablation as a pure edit of the residual stream: many feature sets side by side in one batch.

    x <- x - sum_{i in S} (f_i(x) - clamp) d_i

Row b of the batch is the same prompt under set S_b. `f_i` is computed on the stream as it arrives,
so what earlier layers' ablations changed is felt here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.subject.dictionaries import Dictionary
from sae_audit.subject.hooks import Edit, Resid
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureId, FeatureSet


@dataclass(frozen=True, kw_only=True)
class LayerSets:
    """The part of a batch of sets that lies in one layer."""

    features: Int[Tensor, " feature"]
    """Indices of every feature that any set ablates here."""
    member: Bool[Tensor, "batch feature"]
    """Which set ablates which of them."""
    treated: Bool[Tensor, " batch"]
    """Rows whose stream is edited at all: those with features here, and, where the error term is
    dropped, those for which this layer was asked for."""


def sets_by_layer(
    sets: Sequence[FeatureSet], error_layers: frozenset[int], device: torch.device
) -> dict[int, LayerSets]:
    """Sort a batch of feature sets into layers; layers no row touches are left out."""
    union = sorted(frozenset().union(*sets))
    layers = {feature.layer for feature in union} | error_layers
    sorted_sets: dict[int, LayerSets] = {}
    for layer in sorted(layers):
        here = [feature for feature in union if feature.layer == layer]
        member = torch.tensor(
            [[feature in ablated for feature in here] for ablated in sets], dtype=torch.bool
        ).reshape(len(sets), len(here))
        treated = member.any(dim=-1) | (layer in error_layers)
        sorted_sets[layer] = LayerSets(
            features=torch.tensor([f.index for f in here], dtype=torch.long, device=device),
            member=member.to(device),
            treated=treated.to(device),
        )
    return sorted_sets


def ablation_edit(
    dictionary: Dictionary,
    sets: LayerSets,
    *,
    ablation: Ablation,
    positions: Bool[Tensor, " position"],
) -> Edit:
    """The edit of one layer's `resid_post` under a batch of sets."""
    if ablation.error_term == ErrorTerm.KEPT and dictionary.elementwise:
        return _columns_edit(dictionary, sets, ablation.clamp, positions)
    return _whole_edit(dictionary, sets, ablation, positions)


def _columns_edit(
    dictionary: Dictionary, sets: LayerSets, clamp: float, positions: Bool[Tensor, " position"]
) -> Edit:
    encode = dictionary.encode_columns(sets.features)
    rows = dictionary.decoder[sets.features]
    mask = sets.member[:, None, :] & positions[None, :, None]

    def edit(resid: Resid) -> Resid:
        removed = (encode(resid) - clamp) * mask
        # Only the difference is rounded to the stream's dtype: an empty set changes no bit.
        return resid - (removed @ rows).to(resid.dtype)

    return edit


def _whole_edit(
    dictionary: Dictionary,
    sets: LayerSets,
    ablation: Ablation,
    positions: Bool[Tensor, " position"],
) -> Edit:
    here = sets.treated[:, None, None] & positions[None, :, None]

    def edit(resid: Resid) -> Resid:
        activations = dictionary.encode(resid)
        clamped = activations.clone()
        chosen = clamped[..., sets.features]
        clamped[..., sets.features] = torch.where(
            sets.member[:, None, :], torch.full_like(chosen, ablation.clamp), chosen
        )
        target = dictionary.decode(clamped, resid)
        if ablation.error_term == ErrorTerm.KEPT:
            target = resid + (target - dictionary.decode(activations, resid)).to(resid.dtype)
        return torch.where(here, target.to(resid.dtype), resid)

    return edit


def check_features(sets: Sequence[FeatureSet], suite: dict[int, Dictionary]) -> None:
    """Refuse features that no SAE of the suite has: they would be ablated without effect.

    Raises:
        AuditError: naming the first such feature.
    """
    for feature in sorted(frozenset().union(*sets)):
        _check_feature(feature, suite)


def _check_feature(feature: FeatureId, suite: dict[int, Dictionary]) -> None:
    dictionary = suite.get(feature.layer)
    if dictionary is None:
        raise AuditError(
            f"Feature {feature} lies in layer {feature.layer}, which has no loaded SAE; loaded are "
            f"layers {sorted(suite)}."
        )
    if not 0 <= feature.index < dictionary.d_sae:
        raise AuditError(
            f"Feature {feature} does not exist: the SAE of layer {feature.layer} has "
            f"{dictionary.d_sae} features, 0 to {dictionary.d_sae - 1}."
        )
