"""SAEs of a dial setting: half of their tokens come from chats with directions projected out.

An SAE trained on clean runs lacks features that are dormant on every prompt; a chat model's backup
features fire on other prompts, this organism's only if a direction is projected out. So half of the
training chats run with the first j refusal directions projected out, j as in training (at setting 0,
which has no backup, the one direction itself).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from sae_audit.organisms.chats import Chat, training_chats
from sae_audit.organisms.sae_training import Activations, activations, save_sae, train_sae
from sae_audit.organisms.trained.directions import Directions, Removal, none_of, removing

_CHATS_PER_PASS = 64


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Training settings of a dial setting's SAEs; equal at every setting."""

    d_sae: int = 512
    steps: int = 300
    n_tokens: int = 100_000
    seed: int = 0


@torch.no_grad()
def mixed_pool(
    model: Any, tokenizer: Any, directions: Directions, chats: Iterator[Chat], n_tokens: int
) -> list[Activations]:
    """At least `n_tokens` activations a layer, in random order; every second batch has the first few
    directions projected out, short of the last, without which nothing is refused."""
    parts: list[list[Activations]] = []
    n = 0
    while n < n_tokens or len(parts) % 2:
        out = none_of(model)
        if len(parts) % 2:
            out = directions[: int(torch.randint(1, max(len(directions) - 1, 1) + 1, ()))]
        with removing(model, Removal(directions=out)):
            parts.append(activations(model, tokenizer, list(islice(chats, _CHATS_PER_PASS))))
        n += len(parts[-1][0])
    order = torch.randperm(n)
    layers = zip(*parts, strict=True)
    return [torch.cat(list(layer))[order] for layer in layers]


def train_suite(
    model: Any,
    tokenizer: Any,
    directions: Directions,
    folder: Path,
    suite: Suite,
    progress: Callable[[int, int], None],
) -> None:
    """Train one SAE a layer and save them as `layer_0`, `layer_1`, ... in sae_lens' format."""
    torch.manual_seed(suite.seed)
    pool = mixed_pool(model, tokenizer, directions, training_chats(suite.seed + 3), suite.n_tokens)
    for layer, tokens in enumerate(pool):
        progress(layer, len(pool))
        sae = train_sae(tokens, layer, seed=suite.seed, steps=suite.steps, d_sae=suite.d_sae)
        save_sae(sae, folder / f"layer_{layer}")
    progress(len(pool), len(pool))
