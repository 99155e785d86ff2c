"""Miniatures: small random models of a config's architecture, on which its layers are tried.

Whether layers can be run one by one, where they write to the residual stream and whether attention
looks ahead depend on a model's code and not on its sizes: a tiny model answers it in a second, before
weights are loaded. The number of layers and their differences are kept.
"""

from typing import Any

import torch

_DEEPEST = 40
"""Most layers of a miniature; further layers of a deeper model are dropped."""
_MOST_PARAMETERS = 16_000_000
"""Most parameters of a miniature; with more, some size of the config has an unknown name."""

_HEADS, _HEAD_DIM, _WIDTH, _WORDS = 4, 8, 32, 96

_NAMES: dict[int, str] = {
    # widths of the residual stream, the MLP and attention's input (two streams in Zamba)
    _WIDTH: """hidden_size n_embd d_model embedding_dim embedding_size word_embed_proj_dim lru_width
        input_embedding_size output_embedding_size emb_dim backbone_hidden_size""",
    48: """intermediate_size ffn_dim n_inner decoder_ffn_dim encoder_ffn_dim dff dim_ff d_inner
        ffn_hidden_size intermediate_size_mlp feed_forward_size dense_intermediate_size
        expert_ffn_hidden_size moe_intermediate_size shared_expert_intermediate_size
        shared_experts_intermediate_size shared_intermediate_size
        moe_shared_expert_intermediate_size""",
    2 * _WIDTH: "attention_hidden_size mamba_d_ssm",
    # heads, experts
    4: """num_attention_heads n_head n_heads num_heads decoder_attention_heads attention_heads
        encoder_attention_heads num_encoder_attention_heads num_decoder_attention_heads
        swa_num_attention_heads linear_num_value_heads linear_num_heads index_n_heads
        num_attention_heads_per_layer num_experts n_routed_experts num_local_experts
        moe_num_experts sliding_window sliding_window_size attention_chunk_size local_attention
        window_size attention_window_size""",
    2: """num_key_value_heads num_kv_heads swa_num_key_value_heads kv_n_heads linear_num_key_heads
        num_query_groups num_global_key_value_heads o_groups num_experts_per_tok moe_topk moe_k
        num_experts_per_token top_k_experts zero_expert_num""",
    1: """n_group topk_group num_expert_group num_shared_experts n_shared_experts n_groups
        moe_num_shared_experts mamba_ngroups mamba_n_groups""",
    # widths of a head, low ranks, states
    _HEAD_DIM: """head_dim kv_channels dim_head d_head swa_head_dim attention_head_size
        linear_head_dim linear_key_head_dim linear_value_head_dim v_head_dim swa_v_head_dim
        qk_nope_head_dim qk_rope_head_dim index_head_dim global_head_dim rotary_dim q_lora_rank
        kv_lora_rank o_lora_rank laurel_rank adapter_rank hc_lowrank gated_norm_rank mamba_dt_rank
        time_step_rank d_rel router_hidden_size hidden_size_per_layer_input mamba_d_state
        state_size ssm_state_size mamba_n_heads n_mamba_heads mamba_num_heads mamba_d_head
        mamba_head_dim mamba_headdim mamba_chunk_size chunk_size""",
    2 * _HEAD_DIM: "qk_head_dim attention_head_dim",
    # words, positions
    _WORDS: "vocab_size vocab_size_per_layer_input decoder_vocab_size unpadded_vocab_size",
    512: """max_position_embeddings n_positions n_ctx max_seq_len context_length index_topk
        max_target_positions original_max_position_embeddings rel_extent""",
}
_SIZES = {name: size for size, names in _NAMES.items() for name in names.split()}
"""Small value of each size of a config, by name; a list becomes a list of equal length."""

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
_NO_SIZES = {"model_type", "transformers_version", "architectures", "dtype", "quantization_config"}


def miniature(config: Any) -> Any | None:
    """A small random model of a config's architecture, on the CPU, in float32.

    None if transformers has no class for it (code that comes with a checkpoint is not run), or if
    one of its sizes has an unknown name.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    kinds: Any = MODEL_FOR_CAUSAL_LM_MAPPING
    text = config.get_text_config(decoder=True)
    if not type(text).__module__.startswith("transformers.models."):
        return None
    chosen = next((kinds[type(one)] for one in (text, config) if type(one) in kinds), None)
    if chosen is None:
        return None
    # Building from a config may fail in any way; the whole model then reports it once loaded.
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
    """A config of the same class with small sizes."""
    given = config.to_dict()
    n_layers = min(config.num_hidden_layers, _DEEPEST)
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name in _NO_SIZES:
            continue
        if name in config.sub_configs and isinstance(value, dict):
            made[name] = {
                key: _size(key, one) for key, one in value.items() if key not in _NO_SIZES
            }
        elif name == "per_layer_config" and isinstance(value, dict):
            made[name] = {
                layer: {key: _size(key, one) for key, one in fields.items()}
                | _as_many_heads(fields)
                for layer, fields in value.items()
                if int(layer) < n_layers
            }
        elif isinstance(value, list) and len(value) == config.num_hidden_layers:
            made[name] = [_size(name, one) for one in value[:n_layers]]
        else:
            made[name] = n_layers if name in _LAYERS else _size(name, value)
    made |= _as_many_heads(given)
    if {"state_size", "num_heads"} <= made.keys():
        made["num_heads"] = 2 * _HEADS  # of a state twice as wide as the stream
    return type(config)(**made)


def _as_many_heads(given: dict[str, Any]) -> dict[str, Any]:
    """Small number of key-value heads, if the config has one for each query head."""
    same = "num_key_value_heads" in given and given["num_key_value_heads"] == given.get(
        "num_attention_heads"
    )
    return {"num_key_value_heads": _HEADS} if same else {}


def _size(name: str, value: Any) -> Any:
    """The small value for a value of a config."""
    if isinstance(value, list) and name in _SIZES:
        return [_size(name, one) for one in value]
    if name.endswith(("token_id", "token_index")) and value is not None:
        token = value if isinstance(value, int) else next(iter(value), 0)
        return token if token < _WORDS else 3
    if name.startswith("rope_") and isinstance(value, dict):
        return _rope(value)
    if isinstance(value, bool) or not isinstance(value, int) or name not in _SIZES:
        return value
    # The prompts that a miniature is tried on need its whole vocabulary.
    return _WORDS if _SIZES[name] == _WORDS else min(value, _SIZES[name])


def _rope(value: dict[str, Any]) -> dict[str, Any]:
    """Rotary parameters of one or of each kind of layer, with scaling that depends on sizes removed."""
    if "rope_type" in value:
        kept = {name: one for name, one in value.items() if not isinstance(one, list)}
        return kept | {"rope_type": "default"}
    return {name: _rope(one) if isinstance(one, dict) else one for name, one in value.items()}


@torch.no_grad()
def _drawn(model: Any) -> Any:
    """The model with random weights large enough that every part changes the residual stream."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        random = 0.3 * torch.randn(parameter.shape, generator=generator)
        parameter.copy_(random if parameter.ndim > 1 else parameter + random)
    return model
