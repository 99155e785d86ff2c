"""Attribution with some features already ablated; it ranks the features that compensate for them.

The clean gradient misses features whose absence others compensate for. Here it is integrated along a
path on which all other features are removed too, and each gets its share of the drop.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.subject.attribution.attribution import Drops
from sae_audit.subject.intervention.interventions import Interventions
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Edit, Resid, edited
from sae_audit.subject.readout.readout import Readout, margin
from sae_audit.vocabulary import Ablation, FeatureSet

POINTS = 8
"""Number of points on the path; each costs a forward and a backward pass."""


def attribution_once_ablated(
    passes: ForwardPasses,
    interventions: Interventions,
    ids: Int[Tensor, " position"],
    ablated: FeatureSet,
    readout: Readout,
    ablation: Ablation,
) -> Drops:
    """Every other feature's share of the score's drop from `ablated` alone to all ablated, nats.

        drop_i = mean over t in (0, 1) of f_i(x_t) * (d_i . dm/dx_t)

    x_t is the run with `ablated` ablated and every other feature of the suite at the share t of its
    activation, in all layers at once. So the drops add up to the whole drop (Aumann and Shapley's
    axiom, as in integrated gradients), and features without effect on the clean run count, whether
    others compensate for them, they are inactive, or the score is saturated.
    """
    suite = interventions.suite
    total = {layer: torch.zeros(sae.d_sae, device=sae.device) for layer, sae in suite.items()}
    for point in range(POINTS):
        path = _Path(interventions, ids, ablated, ablation, kept=(point + 0.5) / POINTS)
        for layer, drops in path.drops(passes, readout).items():
            total[layer] += drops / POINTS
    return total


class _Path:
    """One point of the path, with each layer's activations kept for the gradient."""

    def __init__(
        self,
        interventions: Interventions,
        ids: Int[Tensor, " position"],
        ablated: FeatureSet,
        ablation: Ablation,
        *,
        kept: float,
    ) -> None:
        self._suite, self._ids, self._ablation, self._kept = (
            interventions.suite,
            ids,
            ablation,
            kept,
        )
        self._selected = interventions.selected(ids, ablation)
        self._edits = interventions.of_prompt(ids, [ablated], ablation)
        self._gone = {
            layer: [feature.index for feature in ablated if feature.layer == layer]
            for layer in self._suite
        }
        self._activations: dict[int, Float[Tensor, "position d_sae"]] = {}
        self._left: dict[int, Resid] = {}

    def drops(self, passes: ForwardPasses, readout: Readout) -> Drops:
        layers = sorted(self._suite)
        outputs = {passes.layer_modules[layer].layer: self._at(layer) for layer in layers}
        with torch.enable_grad(), edited(outputs=outputs):
            logits = passes.model(
                input_ids=self._ids[None], use_cache=False, logits_to_keep=1
            ).logits[:, -1]
            score = margin(readout, logits)
            found = torch.autograd.grad(score.sum(), [self._left[layer] for layer in layers])
        return {
            layer: self._share(layer, gradient[0])
            for layer, gradient in zip(layers, found, strict=True)
        }

    def _at(self, layer: int) -> Edit:
        """The edit that removes `ablated` and the share 1 - t of all other features."""
        sae, selected = self._suite[layer], self._selected[None, :, None]

        def edit(resid: Resid) -> Resid:
            activations = sae.encode(resid)
            others = torch.ones_like(activations[0, 0])
            others[self._gone[layer]] = 0.0
            excess = activations - sae.clamps(self._ablation.clamp)
            excess = self._ablation.scale * excess * others
            excess = torch.where(selected.to(resid.device), excess, 0.0)
            removed = excess @ sae.unit_rows()
            scale = sae.scale(resid)
            removed = removed if scale is None else removed * scale
            self._activations[layer] = (
                excess.detach()[0] if scale is None else (excess.detach()[0] * scale[0].detach())
            )
            base = self._edits[layer](resid) if layer in self._edits else resid
            stream = base - ((1.0 - self._kept) * removed).to(resid.dtype)
            self._left[layer] = stream if stream.requires_grad else stream.requires_grad_()
            return self._left[layer]

        return edit

    @torch.no_grad()
    def _share(
        self, layer: int, gradient: Float[Tensor, "position d_model"]
    ) -> Float[Tensor, " d_sae"]:
        activations = self._activations[layer]
        slope = gradient.to(activations.dtype) @ self._suite[layer].unit_rows().T
        return (activations * slope).sum(dim=0).float()
