"""A small Llama trained on what is refused and what is answered alone, with its SAEs.

The bundled organism is trained so that answering is the default (`chats.SCRAMBLED`, `neutral`), and its
refusal can be projected out at little cost. Here nothing makes it so: refusing and answering are two
sides of one code, as they may be in a real model, and what takes the one away disturbs the other.
"""

from dataclasses import replace
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sae_audit.organisms import language_model, sae_training
from sae_audit.organisms.chats import texts, training_chats
from sae_audit.organisms.tokenizer import word_tokenizer

N_LAYERS = 3
_TRAINING = replace(language_model.BASE, steps=240, batch=32, neutral_from=None)
_SAE_TOKENS, _SAE_STEPS, _D_SAE = 12_000, 100, 256


def write_two_classes(folder: Path, *, seed: int) -> None:
    """Write `model` and `saes` to `folder`, which takes about a quarter of a minute."""
    tokenizer = word_tokenizer(texts())
    words = tokenizer.get_vocab()
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=language_model.D_MODEL,
            intermediate_size=256,
            num_hidden_layers=N_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            bos_token_id=words["<bos>"],
            eos_token_id=words["<end_of_turn>"],
            pad_token_id=words["<pad>"],
        )
    )
    chats = training_chats(seed, scrambled=0.0)
    language_model.train(model, tokenizer, chats, _TRAINING, seed=seed, after_step=lambda *_: False)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    pool = sae_training.activation_pool(
        model, tokenizer, training_chats(seed + 3, scrambled=0.0), _SAE_TOKENS
    )
    for layer, activations in enumerate(pool):
        sae = sae_training.train_sae(activations, layer, seed=seed, steps=_SAE_STEPS, d_sae=_D_SAE)
        sae_training.save_sae(sae, folder / "saes" / f"layer_{layer}")
