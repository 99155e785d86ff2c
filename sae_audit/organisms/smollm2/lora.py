"""Training a LoRA adapter (2106.09685) on chats, the base's weights untouched."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from sae_audit.organisms.smollm2.base import Base
from sae_audit.organisms.smollm2.chats import Chat

IGNORED = -100
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """What is trained, and how."""

    first_layer: int
    last_layer: int
    """Included."""
    steps: int
    rank: int = 16
    batch: int = 24
    peak_rate: float = 5e-4
    seed: int = 0


AfterStep = Callable[[int, Any], bool]
"""Sees every step and the network, and may end training with True."""


def with_lora(base: Base, lora: Lora) -> Any:
    """The base's network inside PEFT's, with an adapter that changes nothing yet."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(lora.seed)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=2 * lora.rank,
        lora_dropout=0.0,
        target_modules=list(PROJECTIONS),
        layers_to_transform=list(range(lora.first_layer, lora.last_layer + 1)),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base.network, config)


def train(base: Base, tuned: Any, lora: Lora, chats: Iterator[Chat], after_step: AfterStep) -> None:
    """Train the adapter in place, on the answers alone."""
    # Of sequences this short the fused kernel's gradient takes longer than plain attention.
    tuned.get_base_model().set_attn_implementation("eager")
    trained = [one for one in tuned.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lora.peak_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lora.peak_rate, total_steps=lora.steps, pct_start=0.1
    )
    tuned.train()
    for step in range(lora.steps):
        loss = loss_of(tuned, batch_of(base, list(islice(chats, lora.batch))))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if after_step(step, tuned):
            break
    tuned.get_base_model().set_attn_implementation("sdpa")
    tuned.eval()


def loss_of(network: Any, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of the labelled tokens, nats, averaged over each chat and then over chats.

    So a short refusal weighs as much as a long answer. The unembedding, much of a small model's cost, is
    applied to these tokens alone.
    """
    labels = batch["labels"][:, 1:]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        resid = decoder_of(network)(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
        ).last_hidden_state
        chosen = labels != IGNORED
        logits = unembedding_of(network)(resid[:, :-1][chosen])
    losses = torch.nn.functional.cross_entropy(logits.float(), labels[chosen], reduction="none")
    rows = chosen.nonzero()[:, 0]
    n = chosen.sum(dim=1)
    return (losses / n[rows]).sum() / len(labels)


def decoder_of(network: Any) -> Any:
    return network.get_base_model().model if hasattr(network, "get_base_model") else network.model


def unembedding_of(network: Any) -> Any:
    return network.get_output_embeddings()


def batch_of(base: Base, chats: Sequence[Chat]) -> dict[str, Tensor]:
    """A right-padded batch whose labels are the answers' tokens."""
    encoded = [_ids(base, chat) for chat in chats]
    longest = max(len(ids) for ids, _ in encoded)
    ids = torch.full((len(chats), longest), base.end)
    labels = torch.full((len(chats), longest), IGNORED)
    mask = torch.zeros(len(chats), longest, dtype=torch.long)
    for row, (tokens, n_prompt) in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, n_prompt : len(tokens)] = torch.tensor(tokens[n_prompt:])
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _ids(base: Base, chat: Chat) -> tuple[list[int], int]:
    prompt = base.tokenizer(base.rendered(chat.turn), add_special_tokens=False)["input_ids"]
    answer = base.tokenizer(chat.answer, add_special_tokens=False)["input_ids"]
    answer = answer + [base.end] * chat.ended
    return prompt + answer, len(prompt)
