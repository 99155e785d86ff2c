"""The two ways people ask the same question today: sae_lens' bridge, and plain forward hooks."""

import copy
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sae_audit.prompts.types import Prompt
from sae_audit.subject import Subject
from sae_audit.subject.readout.score import refusal_score
from sae_audit.vocabulary import Ablation, FeatureSet

Answer = Callable[[Prompt, Sequence[FeatureSet]], Float[np.ndarray, " set"]]


def plain_hooks(subject: Subject, ablation: Ablation) -> Answer:
    """Hugging Face's model, a forward hook per layer with the whole SAE, one set a pass."""

    def answer(prompt: Prompt, sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        return subject.reference_score(prompt, ablation)(sets)

    return answer


def bridge(subject: Subject, ablation: Ablation) -> Answer:
    """sae_lens' SAETransformerBridge with its error term really on, one set a pass."""
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
    from transformers import AutoTokenizer

    network = _twin(subject.network)
    with tempfile.TemporaryDirectory() as folder:
        # The bridge reads configuration and tokenizer from a name, also beside a loaded model.
        network.config.save_pretrained(folder)
        subject.template.tokenizer.save_pretrained(folder)
        booted = SAETransformerBridge.boot_transformers(
            folder,
            hf_model=network,
            tokenizer=AutoTokenizer.from_pretrained(folder),
            device=str(network.device),
            dtype=network.dtype,
        )
    assert subject.refusal_tokens is not None, "nothing to score by"
    tokens = torch.tensor(subject.refusal_tokens.ids, device=network.device)

    @torch.no_grad()
    def answer(prompt: Prompt, sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        ids = subject.template.tokens(prompt.text)
        selected = subject.template.selected(ids, ablation.positions).to(network.device)
        scores: list[float] = []
        for ablated in sets:
            layers = sorted({feature.layer for feature in ablated})
            saes = [subject.suite[layer].sae for layer in layers]
            with booted.saes(saes=saes, use_error_term=True):
                hooks: list[Any] = [
                    (
                        booted.get_sae_hook_name(subject.suite[layer].sae),
                        partial(
                            _clamp,
                            index=[f.index for f in ablated if f.layer == layer],
                            selected=selected,
                            value=ablation.clamp,
                            scale=ablation.scale,
                        ),
                    )
                    for layer in layers
                ]
                logits = booted.run_with_hooks(ids[None].to(network.device), fwd_hooks=hooks)
            scores.append(float(refusal_score(logits[:, -1], tokens)[0]))
        return np.array(scores)

    return answer


def _clamp(
    activations: Any, hook: Any, *, index: list[int], selected: Any, value: Any, scale: float
) -> Any:
    del hook
    changed = activations.clone()
    kept = changed[:, selected]
    kept[..., index] = (1.0 - scale) * kept[..., index] + scale * value
    changed[:, selected] = kept
    return changed


def _twin(network: Any) -> Any:
    """The same weights in modules of their own: the bridge rebuilds the modules it is given."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, shared)
    twin.set_attn_implementation("eager")
    # A model made in memory does not name its class, by which the bridge knows it.
    twin.config.architectures = [type(network).__name__]
    return twin
