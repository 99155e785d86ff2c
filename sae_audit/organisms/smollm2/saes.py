"""SAEs of the base's residual stream, trained by sae_lens on chats and documentation.

BatchTopK SAEs (2412.06410), saved as JumpReLU. Every text runs with the adapter and without, so that
the dictionary holds what refusing adds, or without alone; the first token, whose activations are
outliers, is left out.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_audit.organisms.smollm2.base import D_MODEL, Base
from sae_audit.organisms.smollm2.lora import decoder_of

LAYERS = (4, 8, 12, 16, 20, 24)
_TEXTS_A_PASS = 32
_MOST_TOKENS = 128

Activations = Float[Tensor, "token d_model"]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """How the SAEs are trained."""

    layers: tuple[int, ...] = LAYERS
    d_sae: int = 4 * D_MODEL
    k: int = 40
    steps: int = 600
    batch: int = 1024
    n_tokens: int = 300_000
    seed: int = 0
    base_alone: bool = False
    """Whether nothing with the adapter is in the training data."""


@torch.no_grad()
def activations(
    base: Base, network: Any, texts: Sequence[str], layers: Sequence[int]
) -> dict[int, Activations]:
    """`resid_post` of each layer on the texts' tokens but the first, in bfloat16."""
    encoded: list[list[int]] = [
        base.tokenizer(text, add_special_tokens=False)["input_ids"][:_MOST_TOKENS] for text in texts
    ]
    longest = max(map(len, encoded))
    ids = torch.full((len(texts), longest), base.end)
    mask = torch.zeros(len(texts), longest, dtype=torch.long)
    for row, own in enumerate(encoded):
        ids[row, : len(own)] = torch.tensor(own)
        mask[row, : len(own)] = 1
    read = mask.bool()
    read[:, 0] = False
    found: dict[int, Activations] = {}

    def noting(layer: int) -> Any:
        def note(_module: Any, _args: Any, output: Any) -> None:
            resid = output if isinstance(output, Tensor) else output[0]
            found[layer] = resid[read.to(resid.device)].to(torch.bfloat16)

        return note

    decoder = decoder_of(network)
    handles = [decoder.layers[one].register_forward_hook(noting(one)) for one in layers]
    try:
        decoder(input_ids=ids.to(base.device), attention_mask=mask.to(base.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return found


def pool(
    base: Base,
    tuned: Any,
    texts: Sequence[str],
    suite: Suite,
    progress: Callable[[int, int], None],
) -> dict[int, Activations]:
    """At least `n_tokens` activations a layer in random order, half of them with the adapter."""
    parts: dict[int, list[Activations]] = {layer: [] for layer in suite.layers}
    random = torch.Generator().manual_seed(suite.seed)
    passes = _passes(texts, random)
    n = 0
    # Of sequences this short the fused kernel takes longer than plain attention.
    tuned.get_base_model().set_attn_implementation("eager")
    while n < suite.n_tokens:
        progress(n, suite.n_tokens)
        chosen = next(passes)
        # Each with and without the adapter: the same tokens in both.
        with_and_without = (nullcontext(), tuned.disable_adapter())
        for adapted in with_and_without[suite.base_alone :]:
            with adapted:
                for layer, read in activations(base, tuned, chosen, suite.layers).items():
                    parts[layer].append(read)
            n += len(parts[suite.layers[0]][-1])
    progress(suite.n_tokens, suite.n_tokens)
    shuffled = torch.randperm(n, generator=random).to(base.device)
    return {layer: torch.cat(read)[shuffled] for layer, read in parts.items()}


def _passes(texts: Sequence[str], random: torch.Generator) -> Iterator[list[str]]:
    """Endless batches of texts about equally long, in random order."""
    order = sorted(texts, key=len)
    batches = [order[i : i + _TEXTS_A_PASS] for i in range(0, len(order), _TEXTS_A_PASS)]
    while True:
        for i in torch.randperm(len(batches), generator=random).tolist():
            yield batches[i]


def train_sae(read: Activations, layer: int, suite: Suite, base_sha256: str) -> Any:
    """The SAE of one layer, which names the base that it was made for."""
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, SAETrainer
    from sae_lens.config import LoggingConfig, SAETrainerConfig

    torch.manual_seed(1000 * suite.seed + layer)
    sae = BatchTopKTrainingSAE(
        BatchTopKTrainingSAEConfig(
            d_in=D_MODEL, d_sae=suite.d_sae, k=suite.k, device=read.device.type
        )
    )
    config = SAETrainerConfig(
        total_training_samples=suite.steps * suite.batch,
        train_batch_size_samples=suite.batch,
        lr=1e-3,
        lr_end=1e-4,
        lr_decay_steps=suite.steps // 4,
        device=read.device.type,
        logger=LoggingConfig(log_to_wandb=False),
    )
    # The trainer's own progress bar would overlap this command's.
    with redirect_stderr(io.StringIO()):
        trained = SAETrainer(config, sae, data_provider=_batches(read, suite.batch)).fit()
    metadata = trained.cfg.metadata
    metadata.model_name = "SmolLM2-135M-Instruct"
    metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    metadata.hf_hook_name = f"model.layers.{layer}"
    metadata.base_weights_sha256 = base_sha256
    return trained


def save(sae: Any, folder: Path) -> None:
    """Write the SAE as sae_lens does, its two matrices rounded to bfloat16."""
    sae.save_inference_model(folder)
    file = folder / "sae_weights.safetensors"
    rounded = {
        name: (one.to(torch.bfloat16) if one.ndim == 2 else one).contiguous()
        for name, one in load_file(file).items()
    }
    save_file(rounded, file)


def _batches(read: Activations, size: int) -> Iterator[Activations]:
    while True:
        yield read[torch.randint(len(read), (size,)).to(read.device)].float()
