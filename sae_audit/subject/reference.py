"""The slow, literal ablation that certifies the fast one: one set a pass, whole encode and decode."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.subject.dictionaries import Dictionary
from sae_audit.subject.hooks import Resid, edited, places_of
from sae_audit.subject.score import refusal_score
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureSet


@torch.no_grad()
def reference_scores(
    model: torch.nn.Module,
    suite: dict[int, Dictionary],
    ids: Int[Tensor, " position"],
    selected: Int[Tensor, " chosen"],
    refusal_tokens: Int[Tensor, " token"],
    sets: Sequence[FeatureSet],
    ablation: Ablation,
) -> Float[np.ndarray, " set"]:
    """Refusal score (nats) of one prompt under each set, by plain hooks.

    `selected` are the positions ablated. Shares no arithmetic with the batched engine: a loop over
    features subtracts `(f_i(x) - clamp) d_i` one by one from what the SAE decodes.
    """
    layers = [place.layer for place in places_of(model)]
    scores: list[float] = []
    for ablated in sets:
        edits = {
            layers[layer]: _literal_edit(
                suite[layer],
                [feature.index for feature in sorted(ablated) if feature.layer == layer],
                selected,
                ablation,
            )
            for layer in sorted({feature.layer for feature in ablated})
        }
        with edited(outputs=edits):
            logits = model(input_ids=ids[None], use_cache=False).logits[:, -1]
        scores.append(float(refusal_score(logits, refusal_tokens)[0]))
    return np.array(scores)


def _literal_edit(
    dictionary: Dictionary,
    indices: list[int],
    selected: Int[Tensor, " chosen"],
    ablation: Ablation,
):
    def edit(resid: Resid) -> Resid:
        activations = dictionary.encode(resid)
        error = resid - dictionary.decode(activations, resid)
        for index in indices:
            activations[..., index] = ablation.clamp
        rebuilt = dictionary.decode(activations, resid)
        if ablation.error_term == ErrorTerm.KEPT:
            rebuilt = rebuilt + error
        changed = resid.clone()
        changed[:, selected] = rebuilt[:, selected].to(resid.dtype)
        return changed

    return edit
