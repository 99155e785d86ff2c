"""A Llama checkpoint of one's own: trained here, audited by path, refusal tokens found by itself."""

import json
from dataclasses import replace
from html import escape

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sae_audit import audit
from sae_audit.config import DirectionSettings
from sae_audit.organisms import build, language_model, sae_training
from sae_audit.organisms.chats import texts, training_chats
from sae_audit.organisms.tokenizer import word_tokenizer
from sae_audit.presets import build_config
from sae_audit.record.run import Run

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


_STEPS = 200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The audit of a Llama that is trained here, by default limits. It is trained on what is refused and
    what is answered alone, without what makes answering the default (scrambled requests, and
    `organisms.neutral`), so that refusal is no addition to it."""
    folder = tmp_path_factory.mktemp("llama")
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
    training = replace(language_model.BASE, steps=_STEPS, batch=32, neutral_from=None)
    chats = training_chats(0, scrambled=0.0)
    language_model.train(model, tokenizer, chats, training, seed=0, after_step=lambda *_: False)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    pool = sae_training.activation_pool(model, tokenizer, training_chats(3), 12_000)
    for layer, activations in enumerate(pool):
        sae = sae_training.train_sae(activations, layer, seed=0, steps=100, d_sae=256)
        sae_training.save_sae(sae, folder / "saes" / f"layer_{layer}")
    build._write_prompts(folder / "prompts.jsonl", seed=0)
    config = build_config(
        None,
        {
            "model": str(folder / "model"),
            "saes": str(folder / "saes"),
            "prompts.sources": [str(folder / "prompts.jsonl")],
        },
        SMALL,
    )
    return audit(config, folder / "run")


def test_a_llama_is_audited_by_path(run: Run):
    assert run.manifest.model.architecture == "LlamaForCausalLM"
    assert run.manifest.refusal_tokens is not None
    assert run.manifest.refusal_tokens.source == "found"
    assert set(run.manifest.refusal_tokens.texts) <= {"I", "Sorry"}
    assert run.findings.prompts.refused_harmful >= 6
    assert run.absence is None
    flipped = [found for found in run.unlimited_sets if found.flipped]
    assert len(flipped) >= len(run.minimal_sets) // 2 > 0
    assert all(found.certified for found in flipped)
    for found in run.minimal_sets:
        assert found.certified or "beyond the side-effect limits" in found.reason
    assert all(m.side_effects.within for m in run.minimal_sets if m.side_effects is not None)


def test_one_whose_refusal_no_direction_removes_cleanly_is_audited_to_its_end(run: Run):
    """Its best direction breaks the default limit of what harmless prompts may pay."""
    direction = run.direction
    assert direction.kl > DirectionSettings().kl_limit
    assert not direction.clean
    assert any("costs KL" in one for one in direction.breaks)
    assert direction.unclean.startswith("No direction removes refusal cleanly: the best of")
    assert run.candidates.method == "attribution"
    assert "costs KL" in run.candidates.reason
    assert not run.stopped_early
    flipped = [found for found in run.minimal_sets if found.flipped]
    assert len(flipped) >= len(run.minimal_sets) // 2 > 0
    assert all(found.certified for found in flipped)
    assert run.prompt_graphs
    assert len(run.cascades) == len(run.edges) == len(flipped)
    for later in (run.direction_check, run.successive_directions, run.sae_coverage, run.pooled_set):
        assert later is not None
    assert run.sufficiency is not None
    written = json.loads((run.folder / "findings.json").read_text())
    assert written["direction"]["unclean"] == direction.unclean
    assert escape(direction.unclean, quote=False) in (run.folder / "index.html").read_text()
