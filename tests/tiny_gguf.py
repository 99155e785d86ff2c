"""Tiny GGUF files, written with the package that llama.cpp publishes for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests import templates

N_LAYERS = 2
SIZE = 64
"""d_model: a multiple of the 32 numbers that quantised types pack together."""
HEADS, KEY_HEADS = 4, 2
WORDS = templates.FAMILIES["llama-3.1"]
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    **{
        f"model.layers.{layer}.{ours}.weight": f"blk.{layer}.{theirs}.weight"
        for layer in range(N_LAYERS)
        for ours, theirs in _LAYER.items()
    },
}


def vocabulary() -> dict[str, Any]:
    """Tokens and merges of a small byte-level tokenizer."""
    return json.loads(templates.tokenizer_of("llama-3.1").backend_tokenizer.to_str())


def model(*, scaling: dict[str, Any] | None = None) -> LlamaForCausalLM:
    """A random Llama whose vocabulary is the tokenizer's."""
    torch.manual_seed(0)
    rotary = {"rope_type": "default", "rope_theta": 10_000.0, **(scaling or {})}
    config = LlamaConfig(
        vocab_size=len(templates.tokenizer_of("llama-3.1")),
        hidden_size=SIZE,
        intermediate_size=SIZE,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=128,
        rope_parameters=rotary,
        tie_word_embeddings=False,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def write(
    path: Path,
    made: LlamaForCausalLM,
    *,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    without: str = "",
    more: dict[str, np.ndarray] | None = None,
    architecture: str = "llama",
    template: str | None = templates.LLAMA_3_1,
    n_layers: int = N_LAYERS,
    scaled_by: str = "",
    values: Mapping[str, float] | None = None,
) -> Path:
    """The model as a GGUF file; matrices in `kind`, all else in float32."""
    writer = gguf.GGUFWriter(path, architecture)
    config = made.config
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_block_count(n_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(SIZE)
    writer.add_feed_forward_length(SIZE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_dimension_count(SIZE // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if scaled_by:
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaled_by))
        writer.add_rope_scaling_factor(4.0)
    for key, value in (values or {}).items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}[
            type(value)
        ]
        add(f"{architecture}.{key}", value)
    _write_words(writer, template)
    for name, tensor in made.state_dict().items():
        weights = tensor.float().numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weights = _paired(weights, HEADS if "q_proj" in name else KEY_HEADS)
        if _NAMES[name] == without:
            continue
        if weights.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            packed = gguf.quantize(weights, kind)
            writer.add_tensor(_NAMES[name], packed, raw_dtype=kind)
        else:
            writer.add_tensor(_NAMES[name], weights)
    for name, weights in (more or {}).items():
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_words(writer: gguf.GGUFWriter, template: str | None) -> None:
    words = vocabulary()
    special = {token["content"] for token in words["added_tokens"]}
    ids = {**words["model"]["vocab"], **{t["content"]: t["id"] for t in words["added_tokens"]}}
    tokens = sorted(ids, key=lambda token: ids[token])
    merges = [one if isinstance(one, str) else " ".join(one) for one in words["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in special else normal for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids["<|begin_of_text|>"])
    writer.add_eos_token_id(ids["<|eot_id|>"])
    if template is not None:
        writer.add_chat_template(template)


def _paired(weights: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows as ggml rotates them: the two that are rotated together beside each other."""
    rows = weights.reshape(n_heads, 2, -1, weights.shape[1])
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(weights.shape)
