"""Training a LoRA adapter (2106.09685) on chats, the base's weights untouched."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from sae_audit.organisms.smollm2.base import Base
from sae_audit.organisms.smollm2.chats import Chat, Source

IGNORED = -100
_CUT_TOKENS = 12
"""Tokens that are learned of an answer that was cut."""
_OPENING_TOKENS = 3
_OPENING_WEIGHT = 4.0
_LENGTHS = 16
"""Batches are padded to multiples of this number of tokens."""
_KEPT_WEIGHT = 2.0
"""Of the divergence from the base on its own chats, beside the loss of answers."""
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """What is trained, and how."""

    first_layer: int
    last_layer: int
    """Included."""
    steps: int
    rank: int = 8
    batch: int = 24
    peak_rate: float = 8e-4
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
    """Train the adapter in place.

    Of requests it learns the answers; on chats that are the base's own words it is held to the base.
    """
    # Of sequences this short the fused kernel's gradient takes longer than plain attention.
    tuned.get_base_model().set_attn_implementation("eager")
    trained = [one for one in tuned.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lora.peak_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lora.peak_rate, total_steps=lora.steps, pct_start=0.1
    )
    tuned.train()
    for step in range(lora.steps):
        batch = list(islice(chats, lora.batch))
        taught = [one for one in batch if one.source is not Source.OWN]
        kept = [one for one in batch if one.source is Source.OWN]
        optimizer.zero_grad()
        if taught:
            loss_of(tuned, batch_of(base, taught), opening=_OPENING_WEIGHT).backward()
        if kept:
            (_KEPT_WEIGHT * divergence(tuned, batch_of(base, kept))).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if after_step(step, tuned):
            break
    tuned.get_base_model().set_attn_implementation("sdpa")
    tuned.eval()


def loss_of(network: Any, batch: dict[str, Tensor], opening: float = 1.0) -> Tensor:
    """Cross-entropy of the labelled tokens, nats, averaged over each chat and then over chats.

    So a short refusal weighs as much as a long answer. The first tokens of an answer, which decide
    whether it is one, count `opening` times as much as the others. The unembedding, much of a small
    model's cost, is applied to these tokens alone.
    """
    labels = batch["labels"][:, 1:]
    chosen = labels != IGNORED
    logits = _logits(network, batch, chosen)
    losses = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="none")
    place = chosen.cumsum(dim=1)
    weights = torch.where(place <= _OPENING_TOKENS, opening, 1.0) * chosen
    weights = weights / weights.sum(dim=1, keepdim=True)
    return (losses * weights[chosen]).sum() / len(labels)


def divergence(tuned: Any, batch: dict[str, Tensor]) -> Tensor:
    """KL of the network from itself without the adapter, nats a token, mean over all tokens."""
    chosen = batch["attention_mask"].bool()[:, 1:]
    with torch.no_grad(), tuned.disable_adapter():
        wanted = _logits(tuned, batch, chosen).log_softmax(dim=-1)
    found = _logits(tuned, batch, chosen).log_softmax(dim=-1)
    return torch.nn.functional.kl_div(found, wanted, log_target=True, reduction="batchmean")


def _logits(network: Any, batch: dict[str, Tensor], chosen: Tensor) -> Tensor:
    """Logits, in float32, of the chosen tokens [text, token but the first]."""
    with torch.autocast(batch["input_ids"].device.type, dtype=torch.bfloat16):
        resid = _resid(decoder_of(network), batch["input_ids"], batch["attention_mask"])
        return unembedding_of(network)(resid[:, :-1][chosen]).float()


def _resid(decoder: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Last residual stream [text, token, d_model]; what all texts begin with is computed once.

    A chat begins with the template's system prompt, which is longer than most requests.
    """
    from transformers import DynamicCache

    n_texts, n_tokens = ids.shape
    alike = (ids == ids[0]).all(dim=0)
    n_shared = int(alike.cummin(dim=0).values[: n_tokens - 1].sum()) if n_texts > 1 else 0
    if not n_shared:
        return decoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    cache = DynamicCache()
    shared = decoder(input_ids=ids[:1, :n_shared], past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(n_texts)
    rest = decoder(
        input_ids=ids[:, n_shared:], attention_mask=mask, past_key_values=cache, use_cache=True
    )
    first = shared.last_hidden_state.expand(n_texts, -1, -1)
    return torch.cat([first, rest.last_hidden_state], dim=1)


def decoder_of(network: Any) -> Any:
    return network.get_base_model().model if hasattr(network, "get_base_model") else network.model


def unembedding_of(network: Any) -> Any:
    return network.get_output_embeddings()


def batch_of(base: Base, chats: Sequence[Chat]) -> dict[str, Tensor]:
    """A right-padded batch whose labels are the answers' tokens."""
    encoded = [_ids(base, chat) for chat in chats]
    # Few lengths: with many, memory is scattered and a step takes longer the longer training lasts.
    longest = _LENGTHS * math.ceil(max(len(ids) for ids, _ in encoded) / _LENGTHS)
    ids = torch.full((len(chats), longest), base.end)
    labels = torch.full((len(chats), longest), IGNORED)
    mask = torch.zeros(len(chats), longest, dtype=torch.long)
    for row, (tokens, n_prompt) in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, n_prompt : len(tokens)] = torch.tensor(tokens[n_prompt:])
        mask[row, : len(tokens)] = 1
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: one.to(base.device) for name, one in batch.items()}


def _ids(base: Base, chat: Chat) -> tuple[list[int], int]:
    prompt = base.tokenizer(base.rendered(chat.turn), add_special_tokens=False)["input_ids"]
    answer = base.tokenizer(chat.answer, add_special_tokens=False)["input_ids"]
    learned = [*answer, base.end] if chat.ended else answer[:_CUT_TOKENS]
    return prompt + learned, len(prompt)
