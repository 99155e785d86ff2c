"""Ablation as arithmetic on the residual stream.

    x <- base(x) - scale * sum_{i in S} (f_i(x) - clamp_i) d_i

`f_i` is computed on the incoming stream and so includes the effects of ablations in earlier layers.
`base` is the stream if the SAE's error term is kept, its reconstruction if the term is dropped, and
the reconstruction plus the clean run's error if it is frozen. Decoding is linear, so this equals a
whole encode, edit and decode.
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
    """The features of several sets that lie in one layer."""

    features: tuple[int, ...]
    """Indices of all features that any set ablates in this layer."""
    member: Bool[np.ndarray, "set feature"]
    """True if the set ablates the feature."""
    treated: Bool[np.ndarray, " set"]
    """True if the set edits the residual stream in this layer: it has features here, or the error
    term is not kept and this layer is among the error layers."""


def sets_by_layer(
    sets: Sequence[FeatureSet], error_layers: frozenset[int] = frozenset()
) -> dict[int, LayerSets]:
    """The part of the sets in each layer; layers that no set edits are left out."""
    columns: dict[int, dict[int, int]] = {layer: {} for layer in error_layers}
    for feature in sorted(frozenset().union(*sets)):
        here = columns.setdefault(feature.layer, {})
        here[feature.index] = len(here)
    members = {layer: np.zeros((len(sets), len(here)), bool) for layer, here in columns.items()}
    for row, ablated in enumerate(sets):
        for feature in ablated:
            members[feature.layer][row, columns[feature.layer][feature.index]] = True
    return {
        layer: LayerSets(
            features=tuple(columns[layer]),
            member=members[layer],
            treated=members[layer].any(axis=1) | np.array(layer in error_layers),
        )
        for layer in sorted(columns)
    }


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of an edit of one residual stream, before each set selects its features."""

    base: Resid
    excess: Float[Tensor, "batch position feature"]
    """`scale * (f_i(x) - clamp_i)`, 0 at positions without ablation."""
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
        """The terms at `resid`; `clean` gives the clean run's stream, called only for a frozen error."""
        selected = selected.to(resid.device)
        values, scale = self.sae.read(resid, self.features)
        # Replaced, not multiplied: a NaN at a masked position must not spread.
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
        """`scale * sum_i (f_i - clamp_i) d_i`, from the selected `excess`."""
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
    """The edit of one layer's `resid_post` that ablates set b in row b of the batch."""
    layer = LayerAblation(sae=sae, features=sets.features, ablation=ablation)
    member = torch.tensor(sets.member)[:, None, :]
    treated = torch.tensor(sets.treated)[:, None, None]

    def edit(resid: Resid) -> Resid:
        terms = layer.terms(resid, selected, clean)
        removed = layer.removed(terms.excess * member.to(resid.device), terms.scale)
        changed = terms.base - removed.to(resid.dtype)
        # Only the difference is rounded to the stream's dtype, so an empty set changes no bit.
        return torch.where(treated.to(resid.device), changed, resid)

    return edit


def check_features(sets: Sequence[FeatureSet], suite: dict[int, Sae]) -> None:
    """Check that the suite has every feature; others would be ablated without effect.

    Raises:
        AuditError: names the first feature that it lacks.
    """
    for feature in sorted(frozenset().union(*sets)):
        _check_feature(feature, suite)


def check_ablation(ablation: Ablation, suite: dict[int, Sae], error_layers: frozenset[int]) -> None:
    """Check that the suite can carry out an ablation.

    Raises:
        AuditError: clamps are not finite or not one per feature, the ablation scale is not finite or is
            negative, or an error layer has no SAE or no error term to replace.
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
