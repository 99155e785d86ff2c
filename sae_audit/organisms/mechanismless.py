"""Null models: models without a refusal mechanism, on which every finding of an audit is false.

Weights are random, or labels are permuted. A random model that refuses nothing would be easy to
recognise; these refuse about half of their prompts: their refusal tokens are words drawn at random
until the median prompt's score is close to 0, where any ablation flips some prompt.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from sae_audit.organisms.chats import texts
from sae_audit.organisms.language_model import new_model
from sae_audit.organisms.random_saes import randomise
from sae_audit.organisms.tokenizer import word_tokenizer
from sae_audit.prompts.sources import read_sources
from sae_audit.subject.template.chat import chat_template

ORGANISM_PROMPTS = "bundled:organism/prompts.jsonl"
_D_MODEL, _D_SAE, _N_LAYERS = 32, 96, 3
_SPREAD = 0.15
"""Standard deviation of random weights: large enough that layers move the scores by about a nat."""
_EVERY = 4
"""Stride over the prompts whose median score decides which refusal tokens are drawn."""


def write_tiny(folder: Path, family: str, seed: int) -> list[str]:
    """Refusal tokens of a random three-layer Llama or Gemma-2 with random SAEs, written to `folder`."""
    tokenizer = word_tokenizer(texts())
    torch.manual_seed(seed)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": _D_MODEL,
        "intermediate_size": 64,
        "num_hidden_layers": _N_LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "initializer_range": 2 * _SPREAD,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    model = (
        Gemma2ForCausalLM(Gemma2Config(sliding_window=64, **shape))
        if family == "gemma2"
        else LlamaForCausalLM(LlamaConfig(tie_word_embeddings=False, **shape))
    )
    _write_saes(folder / "saes", seed)
    return _written(model.eval(), tokenizer, folder, seed)


def write_random_organism(folder: Path, seed: int) -> list[str]:
    """Refusal tokens of a random model of the bundled architecture, written to `folder`."""
    tokenizer = word_tokenizer(texts())
    model = new_model(tokenizer, seed).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=_SPREAD)
    return _written(model, tokenizer, folder, seed)


def write_shuffled_prompts(path: Path, seed: int) -> None:
    """Write the organism's prompts with their labels permuted, so that the labels mean nothing."""
    (source,) = read_sources((ORGANISM_PROMPTS,))
    labels = [prompt.label.value for prompt in source.prompts]
    permuted = np.random.default_rng(seed).permutation(labels)
    rows = [
        {"id": prompt.id, "text": prompt.text, "label": str(label)}
        for prompt, label in zip(source.prompts, permuted, strict=True)
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


def _written(model: Any, tokenizer: Any, folder: Path, seed: int) -> list[str]:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return _half_refusing(model, tokenizer, seed)


def _half_refusing(model: Any, tokenizer: Any, seed: int) -> list[str]:
    """Words drawn at random whose summed probability is near one half on the median prompt."""
    (source,) = read_sources((ORGANISM_PROMPTS,))
    asked = [prompt.text for prompt in source.prompts[::_EVERY]]
    shares = _next_word(model, tokenizer, asked)
    special = set(tokenizer.all_special_ids)
    words = {word: i for word, i in tokenizer.get_vocab().items() if i not in special}
    summed, chosen = np.zeros(len(shares)), list[str]()
    for word in np.random.default_rng(seed).permutation(sorted(words)):
        more = summed + shares[:, words[word]]
        if np.median(more) <= 0.5:
            summed, chosen = more, [*chosen, str(word)]
    return chosen


@torch.no_grad()
def _next_word(model: Any, tokenizer: Any, requests: list[str]) -> Float[np.ndarray, "prompt word"]:
    template = chat_template(tokenizer, template_file=None, system_prompt=None)
    rows: list[Tensor] = []
    for request in requests:
        ids = template.tokens(request)[None]
        rows.append(model(input_ids=ids).logits[0, -1].double().softmax(dim=-1))
    return torch.stack(rows).numpy()


def _write_saes(folder: Path, seed: int) -> None:
    from sae_lens import saes

    for layer in range(_N_LAYERS):
        sae = saes.JumpReLUSAE(saes.JumpReLUSAEConfig(d_in=_D_MODEL, d_sae=_D_SAE, device="cpu"))
        randomise(sae, layer=layer, seed=seed)
        sae.save_model(folder / f"layer_{layer}")
