"""A model with its adapter in the weights, written as a GGUF file of another precision."""

from copy import deepcopy
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sae_audit.errors import AuditError
from sae_audit.organisms.smollm2.adapters import tuned_by
from sae_audit.organisms.smollm2.base import BASE, load_base
from sae_audit.organisms.smollm2.make import CARD
from sae_audit.subject.checkpoint.gguf import local_file

Matrix = Float[np.ndarray, "row column"]

_WRITTEN_ANEW = (
    "GGUF.",
    "general.architecture",
    "general.file_type",
    "general.quantization_version",
)
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTSIDE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}


class Precision(Enum):
    """Type of a file's matrices."""

    F32 = "f32"
    Q8_0 = "q8_0"
    Q4_1 = "q4_1"


def write_merged(made: Path, name: str, precision: Precision) -> Path:
    """The file `NAME-PRECISION.gguf` in the folder `made`, of the base with that adapter.

    Raises:
        AuditError: the adapter is not made; the base is not installed; the file exists.
    """
    if not (made / name / CARD).is_file():
        raise AuditError(f"{made} holds no adapter {name}; make it first.")
    path = made / f"{name}-{precision.value}.gguf"
    if path.exists():
        raise AuditError(f"{path} exists; remove it, or take it as it is.")
    source = local_file(BASE)
    assert source is not None, BASE
    base = load_base()
    tuned = tuned_by(replace(base, network=deepcopy(base.network)), made / name)
    unfinished = path.with_suffix(".unfinished")
    write_gguf(source, tuned.merge_and_unload(), unfinished, precision)
    return unfinished.rename(path)


def write_gguf(source: Path, network: Any, path: Path, precision: Precision) -> None:
    """Write the weights of a Llama network under the names and values of the GGUF file `source`.

    Matrices are rounded to the precision, vectors stay in float32.
    """
    import gguf

    kind = gguf.GGMLQuantizationType[precision.name]
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, "llama")
    written_as = "ALL_F32" if precision is Precision.F32 else f"MOSTLY_{precision.name}"
    writer.add_file_type(gguf.LlamaFileType[written_as])
    for name, value in reader.fields.items():
        if not name.startswith(_WRITTEN_ANEW):
            items = value.types[-1] if len(value.types) > 1 else None
            writer.add_key_value(name, value.contents(), value.types[0], items)
    weights, config = network.state_dict(), network.config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for tensor in reader.tensors:
        own = weights[_name_of(tensor.name)].detach().to(torch.float32).numpy()
        part = tensor.name.split(".")[-2]
        if part in heads:
            own = _paired(own, heads[part])
        if own.ndim == 2 and precision is not Precision.F32:
            writer.add_tensor(tensor.name, gguf.quantize(own, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _name_of(tensor: str) -> str:
    """A parameter's name in transformers: `blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj`."""
    *layer, part, kind = tensor.split(".")
    if layer:
        return f"model.layers.{layer[1]}.{_IN_LAYER[part]}.{kind}"
    return f"{_OUTSIDE[part]}.{kind}"


def _paired(weights: Matrix, n_heads: int) -> Matrix:
    """Rows as ggml rotates them: the two that are rotated together beside each other."""
    rows = weights.reshape(n_heads, 2, -1, weights.shape[1])
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(weights.shape)
