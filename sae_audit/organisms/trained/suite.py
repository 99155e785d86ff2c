"""SAEs of a dial setting: half of their tokens come from chats with routes taken out.

A feature that is dormant on every prompt is in no dictionary trained on clean runs; a chat model's
backups fire on other prompts, this organism's only where a route is missing. So half of the
training chats run with the first j routes out, from a random early place on, j as in training (at
setting 0, which has no backup, the refusal direction itself is out in that half).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from sae_audit.organisms.chats import Chat, training_chats
from sae_audit.organisms.dictionaries import Activations, activations, save_sae, train_sae
from sae_audit.organisms.trained.dial import Trained, drawn_levels
from sae_audit.organisms.trained.routes import Removal, from_place, removing

_CHATS_PER_PASS = 64


@dataclass(frozen=True, kw_only=True)
class Suite:
    """How the SAEs of a dial setting are trained; the same at every setting."""

    d_sae: int = 512
    steps: int = 300
    n_tokens: int = 100_000
    seed: int = 0


@torch.no_grad()
def mixed_pool(
    model: Any, tokenizer: Any, trained: Trained, chats: Iterator[Chat], n_tokens: int
) -> list[Activations]:
    """At least `n_tokens` activations a layer, in random order, every second batch with routes out."""
    parts: list[list[Activations]] = []
    n = 0
    routes = trained.routes
    while n < n_tokens or len(parts) % 2:
        removal = from_place(routes, 0, 0)
        if len(parts) % 2:
            removal = _drawn(trained)
        with removing(model, routes, removal):
            parts.append(activations(model, tokenizer, list(islice(chats, _CHATS_PER_PASS))))
        n += len(parts[-1][0])
    order = torch.randperm(n)
    return [torch.cat([part[layer] for part in parts])[order] for layer in range(len(routes.scale))]


def _drawn(trained: Trained) -> Removal:
    routes = trained.routes
    n_out = int(torch.randint(1, max(len(routes.directions) - 1, 1) + 1, ()))
    levels = drawn_levels(n_out, trained.dial)
    removal = from_place(routes, n_out, int(torch.randint(0, 3, ())), levels=levels)
    if float(torch.rand(())) < trained.dial.found_share:
        return replace(removal, directions=trained.found)
    return removal


def train_suite(
    model: Any,
    tokenizer: Any,
    trained: Trained,
    folder: Path,
    suite: Suite,
    progress: Callable[[int, int], None],
) -> None:
    """One SAE a layer, saved as `layer_0`, `layer_1`, ... in sae_lens' format."""
    torch.manual_seed(suite.seed)
    pool = mixed_pool(model, tokenizer, trained, training_chats(suite.seed + 3), suite.n_tokens)
    for layer, tokens in enumerate(pool):
        progress(layer, len(pool))
        sae = train_sae(tokens, layer, seed=suite.seed, steps=suite.steps, d_sae=suite.d_sae)
        save_sae(sae, folder / f"layer_{layer}")
    progress(len(pool), len(pool))
