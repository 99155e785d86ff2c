"""Random models of true architecture, a few thousand weights each, with SAEs that sae_lens made."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from sae_audit.organisms.random_saes import randomise
from sae_audit.subject import Subject
from sae_audit.subject.loading import subject_of
from sae_audit.subject.saes.sae import Sae

N_LAYERS = 3
D_MODEL = 16
D_SAE = 24
WORDS = "no never yes please tell me how to build a bird house paint the fence bomb steal car wash"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<turn> {{ message['role'] }} "
    "{{ message['content'] | trim }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<turn> model{% endif %}"
)


def tokenizer(*, template: bool = True) -> PreTrainedTokenizerFast:
    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<turn>", "<end>", "user", "model", "system"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS.split()])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<turn>", "<end>"],
    )
    if template:
        made.chat_template = TEMPLATE
    return made


def model(family: str, *, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    shape = {
        "vocab_size": len(tokenizer()),
        "hidden_size": D_MODEL,
        "intermediate_size": 32,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        # Large enough that random layers move the stream: an ablation must show in the logits.
        "initializer_range": 0.3,
    }
    if family == "gemma2":
        return Gemma2ForCausalLM(Gemma2Config(sliding_window=4, **shape)).eval()
    if family == "gemma3":
        kinds = ["sliding_attention", "full_attention", "sliding_attention"]
        config = Gemma3TextConfig(sliding_window=4, layer_types=kinds, **shape)
        return Gemma3ForCausalLM(config).eval()
    return LlamaForCausalLM(LlamaConfig(tie_word_embeddings=False, **shape)).eval()


def sae(architecture: str, layer: int, *, seed: int = 0, **options: Any) -> Any:
    """A random SAE of sae_lens' own class, about a third of whose features fire on a token."""
    from sae_lens import saes

    kinds = {
        "standard": (saes.StandardSAE, saes.StandardSAEConfig),
        "jumprelu": (saes.JumpReLUSAE, saes.JumpReLUSAEConfig),
        "topk": (saes.TopKSAE, saes.TopKSAEConfig),
        "gated": (saes.GatedSAE, saes.GatedSAEConfig),
    }
    kind, config = kinds[architecture]
    if architecture == "topk":
        options.setdefault("k", 6)
    made = kind(config(d_in=D_MODEL, d_sae=D_SAE, device="cpu", **options))
    randomise(made, layer=layer, seed=seed)
    return made.eval()


def saved_batch_topk(folder: Path, layer: int) -> Any:
    """A batch-top-k SAE as sae_lens writes it for inference: jumprelu with one threshold."""
    from sae_lens import SAE, saes

    config = saes.BatchTopKTrainingSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=6, device="cpu")
    trained = saes.BatchTopKTrainingSAE(config)
    random = sae("standard", layer)
    with torch.no_grad():
        for name in ("W_enc", "W_dec", "b_enc", "b_dec"):
            getattr(trained, name).copy_(getattr(random, name))
        trained.topk_threshold.fill_(0.2)
    trained.save_inference_model(folder)
    made = SAE.load_from_disk(folder, device="cpu")
    made.cfg.metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    return made.eval()


def subject_in_memory(
    family: str,
    saes: list[Any],
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **options: Any,
) -> Subject:
    """A tiny model with these SAEs on its layers, without a file."""
    suite = {
        layer: Sae(made.requires_grad_(requires_grad=False), layer=layer, id="", sha256="")
        for layer, made in enumerate(saes)
    }
    network = model(family, seed=seed).to(dtype)
    options = {"refusal_tokens": ["no", "never"], **options}
    return subject_of(network, tokenizer(), suite, **options)


def write_checkpoint(
    folder: Path, family: str, *, architecture: str = "jumprelu", **options: Any
) -> Path:
    model(family).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    for layer in range(N_LAYERS):
        sae(architecture, layer, **options).save_model(folder / "saes" / f"layer_{layer}")
    return folder
