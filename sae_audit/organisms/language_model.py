"""Training the organism: a small Gemma-2 from scratch, and its fine-tune on harmless chats."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedModel

from sae_audit.organisms.chats import Chat
from sae_audit.organisms.neutral import Neutral
from sae_audit.organisms.requests import Kind

N_LAYERS = 8
D_MODEL = 128
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Training:
    steps: int
    batch: int
    peak_rate: float
    skipped_layers: float
    """Share of layer outputs dropped at random, so that later layers learn to compensate for
    earlier ones (stochastic depth, 1603.09382)."""
    neutral_from: int | None
    """Step from which every other batch projects the difference of means out of half of its
    harmless chats (see `neutral`); None: never."""
    smoothing: float
    """Label smoothing, a share of probability: it keeps scores within a few nats."""


BASE = Training(
    steps=900, batch=48, peak_rate=2e-3, skipped_layers=0.1, neutral_from=200, smoothing=0.002
)
TUNED = Training(
    steps=400, batch=32, peak_rate=7e-4, skipped_layers=0.0, neutral_from=None, smoothing=0.002
)


def new_model(tokenizer: Any, seed: int) -> Gemma2ForCausalLM:
    torch.manual_seed(seed)
    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=len(tokenizer),
            hidden_size=D_MODEL,
            intermediate_size=256,
            num_hidden_layers=N_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            query_pre_attn_scalar=32,
            max_position_embeddings=256,
            sliding_window=64,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=[
                tokenizer.eos_token_id,
                tokenizer.convert_tokens_to_ids("<end_of_turn>"),
            ],
        )
    )


def chat_ids(tokenizer: Any, chat: Chat) -> tuple[list[int], int]:
    """Token ids of a whole chat, and the number that belong to the prompt."""
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": chat.request}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(chat.answer + "<end_of_turn>", add_special_tokens=False)["input_ids"]
    return ids + answer, len(ids)


def collated(tokenizer: Any, chats: list[Chat]) -> dict[str, Tensor]:
    """A right-padded batch whose labels are the answer tokens."""
    encoded = [chat_ids(tokenizer, chat) for chat in chats]
    longest = max(len(ids) for ids, _ in encoded)
    ids = torch.full((len(chats), longest), tokenizer.pad_token_id)
    labels = torch.full((len(chats), longest), IGNORED)
    for row, (tokens, n_prompt) in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, n_prompt : len(tokens)] = torch.tensor(tokens[n_prompt:])
    mask = (ids != tokenizer.pad_token_id).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def train(
    model: PreTrainedModel,
    tokenizer: Any,
    chats: Iterator[Chat],
    training: Training,
    *,
    seed: int,
    after_step: Callable[[int, float], bool],
) -> None:
    """Train in place. `after_step(step, loss)` sees every step and may end training with True."""
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.peak_rate, betas=(0.9, 0.98), weight_decay=0.1
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=training.peak_rate, total_steps=training.steps, pct_start=0.1
    )
    loss_function = torch.nn.CrossEntropyLoss(
        ignore_index=IGNORED, label_smoothing=training.smoothing
    )
    model.train()
    neutral = Neutral(model)
    with _skipping_layers(model, training.skipped_layers), neutral.attached(model):
        for step in range(training.steps):
            drawn = list(islice(chats, training.batch))
            batch = collated(tokenizer, drawn)
            labels = batch.pop("labels")
            neutral.begin(
                (labels != IGNORED).int().argmax(dim=1) - 1,
                torch.tensor([chat.kind == Kind.HARMFUL for chat in drawn]),
                take_out=training.neutral_from is not None
                and step >= training.neutral_from
                and step % 2 == 1,
            )
            logits = model(**batch, use_cache=False).logits
            loss = loss_function(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if after_step(step, loss.item()):
                break
    model.eval()


@contextmanager
def _skipping_layers(model: PreTrainedModel, share: float) -> Iterator[None]:
    def skip(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not module.training or share == 0.0:
            return output
        keeps = (torch.rand(len(output), 1, 1) >= share).to(output.dtype)
        return args[0] + keeps * (output - args[0])

    handles = [layer.register_forward_hook(skip) for layer in model.model.layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
