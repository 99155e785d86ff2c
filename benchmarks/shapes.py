"""Models and SAE suites of true shape with random weights: speed depends on shape alone."""

from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject, load_subject
from sae_audit.subject.loading import subject_of
from sae_audit.subject.saes.sae import Sae

ORGANISM = "bundled:organism/base"


@dataclass(frozen=True, kw_only=True)
class Shape:
    family: str
    n_layers: int
    d_model: int
    d_mlp: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    n_vocabulary: int
    d_sae: int


SHAPES = {
    "gemma2-0.4b": Shape(
        family="gemma2",
        n_layers=26,
        d_model=768,
        d_mlp=3072,
        n_heads=4,
        n_kv_heads=2,
        d_head=192,
        n_vocabulary=256_000,
        d_sae=6144,
    ),
    "llama-0.4b": Shape(
        family="llama",
        n_layers=26,
        d_model=1024,
        d_mlp=3584,
        n_heads=16,
        n_kv_heads=4,
        d_head=64,
        n_vocabulary=128_256,
        d_sae=8192,
    ),
    "gemma2-2b": Shape(
        family="gemma2",
        n_layers=26,
        d_model=2304,
        d_mlp=9216,
        n_heads=8,
        n_kv_heads=4,
        d_head=256,
        n_vocabulary=256_000,
        d_sae=16_384,
    ),
}
_N_WORDS = 200
_TEMPLATE = (
    "{{ bos_token }}<turn> user {{ messages[-1]['content'] }} <end> "
    "{% if add_generation_prompt %}<turn> model :{% endif %}"
)
N_TEMPLATE = 4
"""Tokens the template adds after the user's text."""


def random_subject(
    shape: Shape, *, first_layer: int, device: str, dtype: torch.dtype, seed: int = 0
) -> Subject:
    """A model of this shape with an SAE on every layer from `first_layer` up.

    Every feature fires at every position, so no shortcut of sparsity applies: the worst case.
    """
    torch.manual_seed(seed)
    made = network(shape, dtype).to(device).eval().requires_grad_(requires_grad=False)
    suite = {
        layer: Sae(_sae(shape, layer, device, dtype), layer=layer, id="random", sha256="")
        for layer in range(first_layer, shape.n_layers)
    }
    return subject_of(made, tokenizer(), suite, refusal_tokens=["w0", "w1"])


def organism() -> tuple[Subject, list[Prompt]]:
    from sae_audit.bundled import resolve
    from sae_audit.prompts.sources import read_prompts

    prompts = read_prompts([resolve("bundled:organism/prompts.jsonl")])
    harmful = [prompt for prompt in prompts if prompt.label == Label.HARMFUL]
    subject = load_subject(ORGANISM, "bundled:organism/saes", device="cpu", harmful=harmful)
    return subject, harmful


def random_prompt(n_tokens: int, seed: int = 0) -> Prompt:
    """A prompt of exactly this many tokens, the template's included."""
    text = random_words(n_tokens - N_TEMPLATE - 3, seed=seed)
    return Prompt(id=f"random-{seed}", text=text, label=Label.HARMFUL)


def random_words(n: int, *, seed: int) -> str:
    """Words that are one token each, and no refusal token."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(2, _N_WORDS, (n,), generator=generator)
    return " ".join(f"w{int(word)}" for word in words)


def network(shape: Shape, dtype: torch.dtype) -> Any:
    """A causal LM of this shape with random weights, on the CPU."""
    from transformers import (
        AutoModelForCausalLM,
        Gemma2Config,
        LlamaConfig,
    )

    kind = {"gemma2": Gemma2Config, "llama": LlamaConfig}[shape.family]
    config = kind(
        vocab_size=shape.n_vocabulary,
        hidden_size=shape.d_model,
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_kv_heads,
        head_dim=shape.d_head,
        tie_word_embeddings=shape.family == "gemma2",
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return AutoModelForCausalLM.from_config(config, dtype=dtype)


def _sae(shape: Shape, layer: int, device: str, dtype: torch.dtype) -> Any:
    from sae_lens.saes import JumpReLUSAE, JumpReLUSAEConfig

    name = str(dtype).removeprefix("torch.")
    sae = JumpReLUSAE(
        JumpReLUSAEConfig(d_in=shape.d_model, d_sae=shape.d_sae, device=device, dtype=name)
    )
    generator = torch.Generator(device=device).manual_seed(layer)
    rows = torch.randn(shape.d_sae, shape.d_model, generator=generator, device=device)
    rows = torch.nn.functional.normalize(rows, dim=-1).to(dtype)
    with torch.no_grad():
        sae.W_dec.copy_(rows)
        sae.W_enc.copy_(0.1 * rows.T)
        sae.b_enc.fill_(1.0)
        sae.b_dec.zero_()
        sae.threshold.zero_()
    sae.cfg.metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    return sae.eval().requires_grad_(requires_grad=False)


def tokenizer() -> Any:
    """Whole words, and a chat template that adds `N_TEMPLATE` tokens after the user's."""
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<turn>", "<end>", "user", "model", ":"]
    words = [*special, *(f"w{i}" for i in range(_N_WORDS))]
    backend = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
    )
    made.chat_template = _TEMPLATE
    return made
