"""A small random model of the same architecture as a config describes, for trying its layers out.

Whether layers can be run one by one, where they write to the residual stream and whether attention
looks ahead is a matter of a model's code, not of its sizes: a model a few numbers wide answers it in
a second, before any weights are there. The number of layers and what tells one from another are kept.
"""

from typing import Any

import torch

_DEEPEST = 40
"""Layers of a miniature; one of a deeper model ends there."""
_MOST_PARAMETERS = 4_000_000
"""A miniature that would have more is none: some size of it goes by a name not known here."""

_HEADS, _KV_HEADS, _HEAD_DIM, _WIDTH, _WORDS = 4, 2, 8, 32, 96

_SIZES: dict[str, int] = {
    # widths
    **dict.fromkeys(
        ("hidden_size", "n_embd", "d_model", "embedding_dim", "embedding_size", "word_embed_proj_dim")
        + ("lru_width", "attention_hidden_size", "input_embedding_size", "output_embedding_size")
        + ("emb_dim", "backbone_hidden_size"),
        _WIDTH,
    ),
    **dict.fromkeys(
        ("intermediate_size", "ffn_dim", "n_inner", "decoder_ffn_dim", "encoder_ffn_dim", "dff")
        + ("dim_ff", "ffn_hidden_size", "intermediate_size_mlp", "d_inner", "feed_forward_size")
        + ("dense_intermediate_size", "expert_ffn_hidden_size", "moe_intermediate_size")
        + ("shared_expert_intermediate_size", "shared_experts_intermediate_size")
        + ("moe_shared_expert_intermediate_size",),
        48,
    ),
    # heads
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads")
        + ("encoder_attention_heads", "attention_heads", "num_encoder_attention_heads")
        + ("num_decoder_attention_heads", "swa_num_attention_heads", "linear_num_value_heads")
        + ("linear_num_heads", "index_n_heads", "num_attention_heads_per_layer"),
        _HEADS,
    ),
    **dict.fromkeys(
        ("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads", "kv_n_heads")
        + ("linear_num_key_heads", "num_query_groups", "num_global_key_value_heads"),
        _KV_HEADS,
    ),
    **dict.fromkeys(
        ("head_dim", "kv_channels", "dim_head", "d_head", "swa_head_dim", "attention_head_size")
        + ("linear_head_dim", "linear_key_head_dim", "linear_value_head_dim", "attention_head_dim")
        + ("v_head_dim", "swa_v_head_dim", "qk_nope_head_dim", "index_head_dim", "global_head_dim")
        + ("qk_rope_head_dim", "rotary_dim"),
        _HEAD_DIM,
    ),
    "qk_head_dim": 2 * _HEAD_DIM,
    # low ranks
    **dict.fromkeys(
        ("q_lora_rank", "kv_lora_rank", "o_lora_rank", "laurel_rank", "adapter_rank", "hc_lowrank")
        + ("gated_norm_rank", "mamba_dt_rank", "time_step_rank", "d_rel", "router_hidden_size"),
        8,
    ),
    "o_groups": 2,
    # experts
    **dict.fromkeys(
        ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4
    ),
    **dict.fromkeys(
        ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts"), 2
    ),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group", "num_shared_experts"), 1),
    **dict.fromkeys(("n_shared_experts", "moe_num_shared_experts"), 1),
    "zero_expert_num": 2,
    # words
    **dict.fromkeys(
        ("vocab_size", "vocab_size_per_layer_input", "decoder_vocab_size", "unpadded_vocab_size"), _WORDS
    ),
    "hidden_size_per_layer_input": 8,
    # positions
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length")
        + ("max_target_positions", "original_max_position_embeddings", "rel_extent", "index_topk"),
        512,
    ),
    # windows, so short that a prompt outgrows them
    **dict.fromkeys(
        ("sliding_window", "sliding_window_size", "attention_chunk_size", "local_attention")
        + ("window_size", "attention_window_size"),
        4,
    ),
    # states
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size", "mamba_d_ssm"), 8),
    **dict.fromkeys(("mamba_n_heads", "n_mamba_heads", "mamba_num_heads"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim"), 8),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size"), 8),
    **dict.fromkeys(("n_groups", "mamba_ngroups", "mamba_n_groups"), 1),
}
"""What each size of a config becomes, by its name; a list becomes as long a list of it."""

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
_NO_SIZES = {"model_type", "transformers_version", "architectures", "dtype", "quantization_config"}


def miniature(config: Any) -> Any | None:
    """A small random model of a config's architecture, on the CPU, in float32.

    None if transformers has no class of its own for it (code that comes with a checkpoint is not
    run), or if it cannot be made small: a size goes by a name not known here.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    kinds: Any = MODEL_FOR_CAUSAL_LM_MAPPING
    text = config.get_text_config(decoder=True)
    if not type(text).__module__.startswith("transformers.models."):
        return None
    chosen = next((kinds[type(one)] for one in (text, config) if type(one) in kinds), None)
    if chosen is None:
        return None
    # Whatever a config says, building from it may fail in any way; then it is for the whole model,
    # once loaded, to say what is wrong.
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            small = _small(text)
            with torch.device("meta"):
                size = sum(parameter.numel() for parameter in chosen(small).parameters())
            if size > _MOST_PARAMETERS:
                return None
            return _drawn(chosen(small).float().eval())
    except Exception:
        return None


def _small(config: Any) -> Any:
    """The config with its sizes made small, of the same class."""
    given = config.to_dict()
    n_layers = min(config.num_hidden_layers, _DEEPEST)
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name in _NO_SIZES:
            continue
        own = getattr(config, name, value)
        if hasattr(own, "to_dict"):
            made[name] = {key: _size(key, one) for key, one in own.to_dict().items()}
        elif isinstance(value, list) and len(value) == config.num_hidden_layers:
            made[name] = [_size(name, one) for one in value[:n_layers]]
        else:
            made[name] = n_layers if name in _LAYERS else _size(name, value)
    heads = getattr(config, "num_attention_heads", None)
    if "num_key_value_heads" in made and getattr(config, "num_key_value_heads", None) == heads:
        made["num_key_value_heads"] = _HEADS
    return type(config)(**made)


def _size(name: str, value: Any) -> Any:
    """What a value of a config becomes."""
    if isinstance(value, list) and name in _SIZES:
        return [_size(name, one) for one in value]
    if name.endswith(("token_id", "token_index")) and value is not None:
        token = value if isinstance(value, int) else next(iter(value), 0)
        return token if token < _WORDS else 3
    if name.startswith("rope_") and isinstance(value, dict):
        return _rope(value)
    if isinstance(value, bool) or not isinstance(value, int) or name not in _SIZES:
        return value
    return min(value, _SIZES[name])


def _rope(value: dict[str, Any]) -> dict[str, Any]:
    """Rotary parameters, of one kind of layer or of each: scaled ones depend on sizes."""
    kept = ("rope_theta", "partial_rotary_factor")
    if "rope_type" in value:
        return {"rope_type": "default"} | {name: value[name] for name in kept if name in value}
    return {name: _rope(one) if isinstance(one, dict) else one for name, one in value.items()}


@torch.no_grad()
def _drawn(model: Any) -> Any:
    """The model with random weights large enough that every part moves the stream."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        random = 0.3 * torch.randn(parameter.shape, generator=generator)
        parameter.copy_(random if parameter.ndim > 1 else parameter + random)
    return model
