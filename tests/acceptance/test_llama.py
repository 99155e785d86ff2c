"""A Llama checkpoint of one's own: trained here, audited by path, refusal tokens found by itself."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sae_audit import audit
from sae_audit.organisms import build, language_model, sae_training
from sae_audit.organisms.chats import texts, training_chats
from sae_audit.organisms.tokenizer import word_tokenizer
from sae_audit.presets import build_config

pytestmark = pytest.mark.slow

SMALL = [
    "prompts.train=24",
    "prompts.validation=10",
    "prompts.audit=8",
    "minimal.more_sets_budget=8",
    "ablation_scale.grid=2",
    "interactions.n_masks=64",
    "interactions.max_players=6",
    "controls.random_sets=2",
    "controls.random_directions=2",
]


def test_a_llama_is_audited_by_path(tmp_path: Path):
    tokenizer = word_tokenizer(texts())
    words = tokenizer.get_vocab()
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=language_model.D_MODEL,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            bos_token_id=words["<bos>"],
            eos_token_id=words["<end_of_turn>"],
            pad_token_id=words["<pad>"],
        )
    )
    training = replace(language_model.BASE, steps=240, batch=32, neutral_from=80)
    language_model.train(
        model, tokenizer, training_chats(0), training, seed=0, after_step=lambda *_: False
    )
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    pool = sae_training.activation_pool(model, tokenizer, training_chats(3), 12_000)
    for layer, activations in enumerate(pool):
        sae = sae_training.train_sae(activations, layer, seed=0, steps=100, d_sae=256)
        sae_training.save_sae(sae, tmp_path / "saes" / f"layer_{layer}")
    build._write_prompts(tmp_path / "prompts.jsonl", seed=0)
    config = build_config(
        None,
        {
            "model": str(tmp_path / "model"),
            "saes": str(tmp_path / "saes"),
            "prompts.sources": [str(tmp_path / "prompts.jsonl")],
        },
        SMALL,
    )
    run = audit(config, tmp_path / "run")
    assert run.manifest.model.architecture == "LlamaForCausalLM"
    assert run.manifest.refusal_tokens is not None
    assert run.manifest.refusal_tokens.source == "found"
    assert set(run.manifest.refusal_tokens.texts) <= {"I", "Sorry"}
    assert run.findings.prompts.refused_harmful >= 7
    assert run.absence is None
    flipped = [found for found in run.minimal_sets if found.flipped]
    assert len(flipped) >= len(run.minimal_sets) // 2 > 0
    assert all(found.certified for found in flipped)
