"""A slow, literal ablation that certifies the fast one: one set a pass, whole encode and decode."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.subject.model.hooks import Resid, edited
from sae_audit.subject.model.layer_modules import decoder_layers_of
from sae_audit.subject.readout.readout import Readout, margin
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureSet


@torch.no_grad()
def reference_scores(
    model: torch.nn.Module,
    suite: dict[int, Sae],
    ids: Int[Tensor, " position"],
    selected: Int[Tensor, " chosen"],
    readout: Readout,
    sets: Sequence[FeatureSet],
    ablation: Ablation,
    error_layers: frozenset[int] = frozenset(),
) -> Float[np.ndarray, " set"]:
    """Refusal score (nats) of one prompt under each set, by plain hooks.

    `selected` are the positions ablated. It shares no arithmetic with the batched version: a loop moves
    each `f_i(x)` by the ablation scale towards its clamp before the SAE decodes.
    """
    layers = list(decoder_layers_of(model))
    errors = _clean_errors(model, suite, ids) if ablation.error_term == ErrorTerm.FROZEN else {}
    scores: list[float] = []
    for ablated in sets:
        edits = {
            layers[layer]: _literal_edit(
                suite[layer],
                [feature.index for feature in sorted(ablated) if feature.layer == layer],
                selected,
                ablation,
                errors.get(layer),
            )
            for layer in sorted({feature.layer for feature in ablated} | error_layers)
        }
        with edited(outputs=edits):
            logits = model(input_ids=ids[None], use_cache=False).logits[:, -1]
        scores.append(float(margin(readout, logits)[0]))
    return np.array(scores)


@torch.no_grad()
def reference_answer(
    model: Any,
    suite: dict[int, Sae],
    ids: Int[Tensor, " position"],
    selected: Callable[[Int[Tensor, " _"]], Int[Tensor, " _"]],
    ablated: FeatureSet,
    ablation: Ablation,
    *,
    n_tokens: int,
    ends: set[int],
) -> list[int]:
    """Greedy answer (token ids) under ablation; the whole text is run for each token, uncached."""
    layers = list(decoder_layers_of(model))
    answer: list[int] = []
    while len(answer) < n_tokens and not (answer and answer[-1] in ends):
        grown = torch.cat([ids, torch.tensor(answer, dtype=ids.dtype, device=ids.device)])
        edits = {
            layers[layer]: _literal_edit(
                suite[layer],
                [feature.index for feature in sorted(ablated) if feature.layer == layer],
                selected(grown),
                ablation,
                None,
            )
            for layer in sorted({feature.layer for feature in ablated})
        }
        with edited(outputs=edits):
            logits = model(input_ids=grown[None], use_cache=False).logits[0, -1]
        answer.append(int(logits.argmax()))
    return answer


def _clean_errors(
    model: torch.nn.Module, suite: dict[int, Sae], ids: Int[Tensor, " position"]
) -> dict[int, Resid]:
    errors: dict[int, Resid] = {}

    def note(layer: int, resid: Resid) -> Resid:
        errors[layer] = resid - suite[layer].decode(suite[layer].encode(resid), resid)
        return resid

    layers = decoder_layers_of(model)
    readers = {layers[layer]: lambda resid, layer=layer: note(layer, resid) for layer in suite}
    with edited(outputs=readers):
        model(input_ids=ids[None], use_cache=False)
    return errors


def _literal_edit(
    sae: Sae,
    indices: list[int],
    selected: Int[Tensor, " chosen"],
    ablation: Ablation,
    clean_error: Resid | None,
):
    def edit(resid: Resid) -> Resid:
        activations = sae.encode(resid)
        error = resid - sae.decode(activations, resid)
        for index in indices:
            clamp = (
                float(ablation.clamp)
                if isinstance(ablation.clamp, float | int)
                else float(ablation.clamp[sae.layer][index])
            )
            before = activations[..., index]
            activations[..., index] = torch.lerp(
                before, torch.full_like(before, clamp), ablation.scale
            )
        rebuilt = sae.decode(activations, resid)
        if ablation.error_term == ErrorTerm.KEPT:
            rebuilt = rebuilt + error
        if clean_error is not None:
            rebuilt = rebuilt + clean_error
        changed = resid.clone()
        changed[:, selected] = rebuilt[:, selected].to(resid.dtype)
        return changed

    return edit
