"""Ablation as arithmetic on the residual stream.

    x <- base(x) - scale * sum_{i in S} (f_i(x) - clamp_i) d_i

`f_i` is computed on the stream as it arrives, so what earlier layers' ablations changed is felt
here. `base` is the stream itself where the SAE's error term is kept; its reconstruction where the
term is dropped; the reconstruction with the clean run's error where it is frozen. Decoding is
linear, so this difference is all that a whole encode, edit and decode would do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.subject.model.hooks import Edit, Resid
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureId, FeatureSet


@dataclass(frozen=True, kw_only=True)
class LayerSets:
    """The part of some feature sets that lies in one layer."""

    features: tuple[int, ...]
    """Indices of every feature that any set ablates here."""
    member: Bool[np.ndarray, "set feature"]
    """Which set ablates which of them."""
    treated: Bool[np.ndarray, " set"]
    """Sets for which the stream is edited here at all: those with features here, and, where the
    error term is not kept, those for which this layer was asked for."""


def sets_by_layer(
    sets: Sequence[FeatureSet], error_layers: frozenset[int] = frozenset()
) -> dict[int, LayerSets]:
    """Sort feature sets into layers; layers that no set touches are left out."""
    places: dict[int, dict[int, int]] = {layer: {} for layer in error_layers}
    for feature in sorted(frozenset().union(*sets)):
        here = places.setdefault(feature.layer, {})
        here[feature.index] = len(here)
    members = {layer: np.zeros((len(sets), len(here)), bool) for layer, here in places.items()}
    for row, ablated in enumerate(sets):
        for feature in ablated:
            members[feature.layer][row, places[feature.layer][feature.index]] = True
    return {
        layer: LayerSets(
            features=tuple(places[layer]),
            member=members[layer],
            treated=members[layer].any(axis=1) | np.array(layer in error_layers),
        )
        for layer in sorted(places)
    }


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an edit of one stream is made of, before any set chooses among its features."""

    base: Resid
    excess: Float[Tensor, "batch position feature"]
    """`scale * (f_i(x) - clamp_i)`, 0 at positions that are not ablated."""
    scale: Float[Tensor, "batch position 1"] | None


@dataclass(frozen=True, kw_only=True)
class LayerAblation:
    """The ablation of some features of one layer."""

    sae: Sae
    features: tuple[int, ...]
    ablation: Ablation

    def terms(
        self,
        resid: Resid,
        selected: Bool[Tensor, "rows position"],
        clean: Callable[[], Resid],
    ) -> Terms:
        """`clean` gives the clean run's stream, asked for only where its error is put back."""
        selected = selected.to(resid.device)
        values, scale = self.sae.read(resid, self.features)
        # Replaced, not multiplied: what a masked position holds, even a NaN, is no part of it.
        clamps = self.sae.clamps(self.ablation.clamp)[list(self.features)]
        scaled = self.ablation.scale * (values - clamps)
        excess = torch.where(selected[..., None], scaled, 0.0)
        if self.ablation.error_term == ErrorTerm.KEPT:
            return Terms(base=resid, excess=excess, scale=scale)
        base = self._reconstruction(resid)
        if self.ablation.error_term == ErrorTerm.FROZEN:
            undisturbed = clean()
            base = base + (undisturbed - self._reconstruction(undisturbed))
        base = torch.where(selected[..., None], base.to(resid.dtype), resid)
        return Terms(base=base, excess=excess, scale=scale)

    def removed(
        self,
        excess: Float[Tensor, "batch position feature"],
        scale: Float[Tensor, "batch position 1"] | None,
    ) -> Resid:
        """`scale * sum_i (f_i - clamp_i) d_i` over the excess that is left."""
        removed = excess @ self.sae.rows(self.features)
        return removed if scale is None else removed * scale

    def _reconstruction(self, resid: Resid) -> Resid:
        return self.sae.decode(self.sae.encode(resid), resid)


def ablation_edit(
    sae: Sae,
    sets: LayerSets,
    *,
    ablation: Ablation,
    selected: Bool[Tensor, "rows position"],
    clean: Callable[[], Resid],
) -> Edit:
    """The edit of one layer's `resid_post` where row b of the batch is under set b."""
    layer = LayerAblation(sae=sae, features=sets.features, ablation=ablation)
    member = torch.tensor(sets.member)[:, None, :]
    treated = torch.tensor(sets.treated)[:, None, None]

    def edit(resid: Resid) -> Resid:
        terms = layer.terms(resid, selected, clean)
        removed = layer.removed(terms.excess * member.to(resid.device), terms.scale)
        changed = terms.base - removed.to(resid.dtype)
        # Only the difference is rounded to the stream's dtype: an empty set changes no bit.
        return torch.where(treated.to(resid.device), changed, resid)

    return edit


def check_features(sets: Sequence[FeatureSet], suite: dict[int, Sae]) -> None:
    """Refuse features that no SAE of the suite has: they would be ablated without effect.

    Raises:
        AuditError: naming the first such feature.
    """
    for feature in sorted(frozenset().union(*sets)):
        _check_feature(feature, suite)


def check_ablation(ablation: Ablation, suite: dict[int, Sae], error_layers: frozenset[int]) -> None:
    """Refuse ablations that could not be carried out as asked.

    Raises:
        AuditError: clamps that are not finite or not one for every feature, a scale that is not or
            is below 0, or layers asked for without an SAE, or without an error term to replace there.
    """
    for layer in sorted(error_layers):
        if layer not in suite:
            raise AuditError(
                f"Layer {layer} has no loaded SAE whose error could be replaced; loaded are layers "
                f"{sorted(suite)}."
            )
    if error_layers and ablation.error_term == ErrorTerm.KEPT:
        raise AuditError("Layers to replace the error at were given, but the error term is kept.")
    if not (np.isfinite(ablation.scale) and ablation.scale >= 0.0):
        raise AuditError(
            f"The scale must be a finite number, 0 or more, not {ablation.scale}: 1 ablates, less "
            "ablates in part."
        )
    if isinstance(ablation.clamp, float | int):
        if not np.isfinite(ablation.clamp):
            raise AuditError(f"The clamp must be a finite number, not {ablation.clamp}.")
        return
    for layer, sae in sorted(suite.items()):
        values = ablation.clamp.get(layer)
        if values is None or np.shape(values) != (sae.d_sae,):
            raise AuditError(
                f"The clamp needs one value for each of the {sae.d_sae} features of layer "
                f"{layer}, and has {'none' if values is None else np.shape(values)}."
            )
        if not np.isfinite(values).all():
            raise AuditError(f"The clamps of layer {layer} are not all finite numbers.")


def _check_feature(feature: FeatureId, suite: dict[int, Sae]) -> None:
    sae = suite.get(feature.layer)
    if sae is None:
        raise AuditError(
            f"Feature {feature} lies in layer {feature.layer}, which has no loaded SAE; loaded are "
            f"layers {sorted(suite)}."
        )
    if not 0 <= feature.index < sae.d_sae:
        raise AuditError(
            f"Feature {feature} does not exist: the SAE of layer {feature.layer} has "
            f"{sae.d_sae} features, 0 to {sae.d_sae - 1}."
        )
