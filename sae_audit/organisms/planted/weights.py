"""A circuit written into the weights of a genuine Llama or Gemma-2.

- A large constant coordinate makes RMSNorm linear; with it as `up`, an MLP neuron of steep gate is
  a ReLU of whatever the gate reads.
- In every layer one attention head finds earlier harm words and copies their category to the current
  token; the layer's MLP reads and clears it. So no layer's output holds the units' drive, and no
  feature for it is a bottleneck.
- Gemma-2 also norms a sublayer's output. Each sublayer writes a constant, which makes that norm
  linear, and which the norm's weight then drops.
- The unembedding reads one direction for the first token of a refusal, and the current token's
  identity for the rest of a sentence.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from sae_audit.organisms.planted.circuit import NEVER, Circuit
from sae_audit.organisms.planted.language import (
    ANSWER,
    ANSWER_WORDS,
    REFUSAL,
    babble_words,
    harm_words,
)
from sae_audit.organisms.planted.space import CONSTANT, Space, Vector

ARCHITECTURES = ("llama", "gemma2")
_HEAD = 8
_STEEP = 200.0
"""Gate slope, dimensionless: at circuits' margins SiLU and GELU equal a ReLU to one part in 10^6."""
_ATTENTION = 30.0
"""Attention logit of a harm word; every other token has 0."""
_TEMPLATE_GATE = 4.0
"""Pre-activation subtracted outside the template from template-only units; exceeds any drive."""
_NEXT = 20.0
"""Logit of the word that follows in a sentence."""

Rows = list[Vector]


def planted_model(circuit: Circuit, space: Space, tokenizer: Any, architecture: str) -> Any:
    """The checkpoint, in float32."""
    assert architecture in ARCHITECTURES, architecture
    n_neurons = max(_n_neurons(circuit, layer) for layer in range(circuit.n_layers))
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": space.d_model,
        "intermediate_size": -(-n_neurons // 8) * 8,
        "num_hidden_layers": circuit.n_layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": _HEAD,
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": [
            tokenizer.eos_token_id,
            tokenizer.convert_tokens_to_ids("<end_of_turn>"),
        ],
    }
    if architecture == "gemma2":
        config = Gemma2Config(query_pre_attn_scalar=_HEAD, sliding_window=128, **shape)
        model = Gemma2ForCausalLM(config)
    else:
        model = LlamaForCausalLM(LlamaConfig(**shape))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        _Writer(circuit, space, tokenizer, architecture).write(model)
    return model.eval()


def _n_neurons(circuit: Circuit, layer: int) -> int:
    here = sum(unit.layer == layer for unit in circuit.units)
    n_read = len(circuit.reads) + len(circuit.babbles)
    return 1 + here + len(circuit.categories) + n_read * (layer + 1 == circuit.n_layers)


class _Writer:
    """Writer of one model's weights."""

    def __init__(self, circuit: Circuit, space: Space, tokenizer: Any, architecture: str) -> None:
        self.circuit, self.space, self.tokenizer = circuit, space, tokenizer
        self.is_gemma = architecture == "gemma2"
        self.scale = CONSTANT / np.sqrt(space.d_model)
        """Divisor of the input norm."""

    def write(self, model: Any) -> None:
        self._write_embedding(model.model.embed_tokens.weight)
        for index, layer in enumerate(model.model.layers):
            self._write_attention(layer.self_attn)
            self._write_mlp(layer.mlp, index)
            self._write_norms(layer)
        _fill(model.model.norm.weight, 0.0 if self.is_gemma else 1.0)
        self._write_head(model.lm_head.weight)

    # After a norm the constant coordinate is the square root of d_model.
    def _always(self, value: float) -> Vector:
        return value / np.sqrt(self.space.d_model) * self.space.constant

    def _reads(self, direction: Vector) -> Vector:
        """The vector that reads the stream's component along a direction from the normed stream."""
        return self.scale * direction

    def _write_embedding(self, weight: Tensor) -> None:
        space = self.space
        # Every token has its own direction; those of answers come first and are orthogonal.
        identity = self._identities()
        rows = CONSTANT * space.constant[None] + 0.3 * identity
        for word in harm_words(self.circuit):
            rows[self._id(word.text)] += word.strength * space.said[word.category]
        for token in ("<end_of_turn>", "<start_of_turn>", "model", "\n"):
            rows[self._id(token)] += space.template
        if self.is_gemma:
            rows /= np.sqrt(space.d_model)
        _set(weight, rows)

    def _identities(self) -> Float[np.ndarray, "token d_model"]:
        first = [self._id(word) for word in ANSWER_WORDS]
        rest = [i for i in range(len(self.tokenizer)) if i not in set(first)]
        placed = np.zeros((len(self.tokenizer), self.space.d_model))
        placed[[*first, *rest]] = self.space.words
        return placed

    def _write_attention(self, attention: Any) -> None:
        # The slowest pair of rotary dimensions hardly rotates over one prompt.
        slow = _HEAD // 2 - 1
        said = sum(self.space.said.values(), np.zeros(self.space.d_model))
        query = np.zeros((2 * _HEAD, self.space.d_model))
        query[slow] = self._always(_ATTENTION * np.sqrt(_HEAD))
        key = np.zeros((_HEAD, self.space.d_model))
        key[slow] = self._reads(said)
        value = np.zeros((_HEAD, self.space.d_model))
        out = np.zeros((self.space.d_model, 2 * _HEAD))
        for i, category in enumerate(self.circuit.categories):
            value[i] = self._reads(self.space.said[category])
            out[:, i] = self.space.heard[category]
        if self.is_gemma:
            value[_HEAD - 1] = self._always(CONSTANT)
            out[:, _HEAD - 1] = self.space.ballast
        for name, rows in (("q", query), ("k", key), ("v", value), ("o", out)):
            _set(getattr(attention, f"{name}_proj").weight, rows)

    def _write_mlp(self, mlp: Any, layer: int) -> None:
        reads: Rows = []
        writes: Rows = []
        for gate, written in self._neurons(layer):
            reads.append(_STEEP * gate)
            writes.append(written / _STEEP)
        if self.is_gemma:
            reads.append(self._always(_STEEP))
            writes.append(CONSTANT / _STEEP * self.space.ballast)
        n = len(reads)
        _set(mlp.gate_proj.weight[:n], np.stack(reads))
        _set(mlp.up_proj.weight[:n], np.stack([self._always(1.0)] * n))
        _set(mlp.down_proj.weight[:, :n], np.stack(writes, axis=1))

    def _neurons(self, layer: int) -> list[tuple[Vector, Vector]]:
        """Read and write vectors of each neuron of a layer."""
        space = self.space
        by_name = {unit.name: unit for unit in self.circuit.units}
        neurons = [(self._reads(one), -one) for one in space.heard.values()]
        for unit in self.circuit.units:
            if unit.layer != layer:
                continue
            gate = self._always(unit.bias)
            gate += sum(w * self._reads(space.heard[c]) for c, w in unit.drive.items())
            gate += sum(w * self._reads(space.read(by_name[u])) for u, w in unit.reads.items())
            if unit.template_only:
                gate += _TEMPLATE_GATE * self._reads(space.template) - self._always(_TEMPLATE_GATE)
            neurons.append((gate, space.written(unit)))
        if layer + 1 == self.circuit.n_layers:
            words = zip(self.circuit.babbles, space.babbled, strict=True)
            for read, written in [*((r, space.verdict) for r in self.circuit.reads), *words]:
                gate = self._always(read.bias)
                gate += sum(
                    w * self._reads(space.read(by_name[u])) for u, w in read.weights.items()
                )
                neurons.append((gate, read.slope * written))
        return neurons

    def _write_norms(self, layer: Any) -> None:
        plain = 0.0 if self.is_gemma else 1.0
        _fill(layer.input_layernorm.weight, plain)
        if not self.is_gemma:
            _fill(layer.post_attention_layernorm.weight, plain)
            return
        _fill(layer.pre_feedforward_layernorm.weight, plain)
        for norm in (layer.post_attention_layernorm, layer.post_feedforward_layernorm):
            # Gemma's norms multiply by 1 + weight: undo the division, and drop the ballast.
            _fill(norm.weight, self.scale - 1.0)
            norm.weight[int(self.space.ballast.argmax())] = -1.0

    def _write_head(self, weight: Tensor) -> None:
        rows = np.tile(self._always(NEVER), (len(self.tokenizer), 1))
        refuses, answers = self._id(REFUSAL[0]), self._id(ANSWER[0])
        rows[refuses] = self._reads(self.space.verdict) + self._always(self.circuit.offset)
        rows[answers] = 0.0
        for word, written in zip(babble_words(self.circuit), self.space.babbled, strict=True):
            rows[self._id(word)] += self._reads(written)
        identity = self._identities()
        stop = "<end_of_turn>"
        for sentence in (REFUSAL, ANSWER):
            for word, following in zip(sentence, [*sentence[1:], stop], strict=True):
                rows[self._id(following)] += (
                    (_NEXT - NEVER) / 0.3 * self._reads(identity[self._id(word)])
                )
        _set(weight, rows)

    def _id(self, token: str) -> int:
        return self.tokenizer.convert_tokens_to_ids(token)


def _set(weight: Tensor, rows: Float[np.ndarray, "..."]) -> None:
    weight.copy_(torch.tensor(rows, dtype=weight.dtype))


def _fill(weight: Tensor, value: float) -> None:
    weight.fill_(value)
