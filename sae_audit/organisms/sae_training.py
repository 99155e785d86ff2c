"""SAEs for the organism, trained by sae_lens on its residual stream and saved in its format."""

import io
from collections.abc import Iterator
from contextlib import redirect_stderr
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_audit.organisms.chats import Chat
from sae_audit.organisms.language_model import D_MODEL, collated
from sae_audit.subject.model.hooks import edited
from sae_audit.subject.model.layer_modules import layer_modules

MODEL_NAME = "sae-audit-organism"
D_SAE = 1024
K = 16
STEPS = 1200
BATCH = 1024
_CHATS_PER_PASS = 64

Activations = Float[Tensor, "token d_model"]


@torch.no_grad()
def activations(model: Any, tokenizer: Any, chats: list[Chat]) -> list[Activations]:
    """`resid_post` on every token of the chats, prompts and answers, by layer."""
    batch = collated(tokenizer, chats)
    real = batch["attention_mask"].bool()
    read: dict[int, Tensor] = {}

    def reader(layer: int):
        def note(resid: Tensor) -> Tensor:
            read[layer] = resid[real]
            return resid

        return note

    modules = layer_modules(model)
    with edited(outputs={own.layer: reader(layer) for layer, own in enumerate(modules)}):
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    return [read[layer] for layer in range(len(modules))]


def activation_pool(
    model: Any, tokenizer: Any, chats: Iterator[Chat], n_tokens: int
) -> list[Activations]:
    """At least `n_tokens` activations per layer, in random order."""
    parts: list[list[Activations]] = []
    n = 0
    while n < n_tokens:
        parts.append(activations(model, tokenizer, list(islice(chats, _CHATS_PER_PASS))))
        n += len(parts[-1][0])
    layers = [torch.cat([part[layer] for part in parts]) for layer in range(len(parts[0]))]
    order = torch.randperm(n)
    return [layer[order] for layer in layers]


def is_bos(tokenizer: Any, chats: list[Chat]) -> Bool[Tensor, " token"]:
    """True at the tokens of `activations(model, tokenizer, chats)` that are <bos>."""
    batch = collated(tokenizer, chats)
    return batch["input_ids"][batch["attention_mask"].bool()] == tokenizer.bos_token_id


def train_sae(
    pool: Activations, layer: int, *, seed: int, steps: int = STEPS, d_sae: int = D_SAE
) -> Any:
    """A BatchTopK SAE of one layer (2412.06410), as sae_lens trains it."""
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, SAETrainer
    from sae_lens.config import LoggingConfig, SAETrainerConfig

    torch.manual_seed(1000 * seed + layer)
    sae = BatchTopKTrainingSAE(
        BatchTopKTrainingSAEConfig(d_in=D_MODEL, d_sae=d_sae, k=K, device="cpu")
    )
    config = SAETrainerConfig(
        total_training_samples=steps * BATCH,
        train_batch_size_samples=BATCH,
        lr=1e-3,
        lr_end=1e-4,
        lr_decay_steps=steps // 4,
        device="cpu",
        logger=LoggingConfig(log_to_wandb=False),
    )
    # The trainer's own progress bar would overlap the build's.
    with redirect_stderr(io.StringIO()):
        trained = SAETrainer(config, sae, data_provider=_batches(pool)).fit()
    # SAETrainer records neither hook nor model, which an audit needs.
    metadata = trained.cfg.metadata
    metadata.model_name = MODEL_NAME
    metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    metadata.hf_hook_name = f"model.layers.{layer}"
    return trained


def save_sae(sae: Any, folder: Path) -> None:
    sae.save_inference_model(folder)


def _batches(pool: Activations) -> Iterator[Activations]:
    while True:
        yield pool[torch.randint(len(pool), (BATCH,))]
