"""Seconds per unit of an audit's work on this machine, measured on random weights."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sae_audit.config import InteractionSettings
from sae_audit.interactions.fit import interactions
from sae_audit.pipeline.pricing import Work
from sae_audit.planning.facts import SubjectFacts
from sae_audit.subject.model.budget import Budget
from sae_audit.subject.model.directional_ablation import project_out
from sae_audit.subject.readout.score import refusal_score
from sae_audit.vocabulary import FeatureId

_UNCACHED_BYTES = 1 << 30
"""Bytes of weights timed together: more than a processor's cache, as a whole model exceeds it."""
_FEWEST_LAYERS = 2
_VOCABULARY = 1 << 17
_WIDTH = 1 << 16
"""Largest width timed in full; the time of larger ones is scaled in proportion."""
_MOST_TIMED = 1 << 14
"""Tokens of the largest timed batch; the time per token of larger ones is the same."""
_REPEATS = 5
_LONG_ENOUGH_S = 1.0
"""Seconds of one timing after which it is repeated no more: what takes long varies little."""
_SWEEP_RATE = 0.8
"""Throughput of batched ablation as a share of a plain pass's (docs/performance.md)."""
_WAKE_UP_S = 1.0
"""Seconds of warm-up before timing."""


@dataclass(frozen=True, kw_only=True)
class UnitCosts:
    """Seconds per unit, by `Work`'s units."""

    layer_token: float
    """Seconds in whole passes: batches hold the prompts of one length."""
    alone_layer_token: float
    """Seconds in passes of one prompt."""
    swept_layer_token: float
    """Seconds in batched ablation, with the largest batches that memory allows."""
    edited_layer_token: float
    head: float
    swept_head: float
    encoded: float
    alone_encoded: float
    step: float
    fit: float

    def seconds(self, work: Work) -> float:
        """Estimated seconds of the work on this machine."""
        return (
            work.layer_tokens * self.layer_token
            + work.alone_layer_tokens * self.alone_layer_token
            + work.edited_layer_tokens * self.edited_layer_token
            + work.swept_layer_tokens * self.swept_layer_token / _SWEEP_RATE
            + work.heads * self.head
            + work.swept_heads * self.swept_head
            + work.encoded * self.encoded
            + work.alone_encoded * self.alone_encoded
            + work.steps * self.step
            + work.fits * self.fit
        )


def calibrated(
    facts: SubjectFacts,
    *,
    device: str,
    dtype: torch.dtype,
    sae_dtype: torch.dtype,
    tokens_per_batch: int | None,
    n_prompts: int,
    n_masks: int,
    n_players: int,
) -> UnitCosts:
    """Unit costs, timed on layers of the model's shape, a part of its unembedding, SAEs, and one fit.

    `n_prompts` is the typical number of prompts in one pass.
    """
    n_layers = _enough_layers(facts, dtype)
    network = _layers(facts.config, n_layers, dtype, device)
    budget = Budget.of(network, tokens_per_batch)
    length = max(1, round(facts.prompt_tokens))
    if tokens_per_batch is not None:
        budget.tokens = min(tokens_per_batch, _MOST_TIMED)
    most = max(1, budget.tokens // length)
    rows = min(most, max(1, round(n_prompts / facts.batches(n_prompts))))

    def one_pass(n_rows: int, n_tokens: int) -> None:
        ids = torch.zeros(n_rows, n_tokens, dtype=torch.long, device=device)
        network(input_ids=ids, use_cache=False, logits_to_keep=1)

    def passing(n_rows: int, n_tokens: int) -> float:
        return _timed(lambda: one_pass(n_rows, n_tokens))

    with torch.no_grad():
        _wake_up(lambda: one_pass(rows, length))
        return UnitCosts(
            layer_token=passing(rows, length) / (n_layers * rows * length),
            alone_layer_token=passing(1, length) / (n_layers * length),
            swept_layer_token=passing(most, length) / (n_layers * most * length),
            edited_layer_token=_editing(facts, rows, length, dtype, device),
            head=_head(facts, rows, dtype, device),
            swept_head=_head(facts, most, dtype, device),
            # A pass that encodes holds fewer tokens.
            encoded=_encoding(
                facts, max(length, budget.tokens_encoding(_timed_width(facts))), sae_dtype, device
            ),
            alone_encoded=_encoding(facts, length, sae_dtype, device),
            step=passing(rows, 1) / n_layers * facts.n_layers
            + rows * _head(facts, rows, dtype, device),
            fit=_fitting(n_masks, n_players),
        )


def _enough_layers(facts: SubjectFacts, dtype: torch.dtype) -> int:
    embeddings = facts.config.vocab_size * facts.d_model
    a_layer = max(1.0, facts.n_parameters - embeddings) / facts.n_layers * dtype.itemsize
    return min(facts.n_layers, max(_FEWEST_LAYERS, round(_UNCACHED_BYTES / a_layer)))


def _layers(config: Any, n_layers: int, dtype: torch.dtype, device: str) -> Any:
    from transformers import AutoModelForCausalLM

    small = copy.deepcopy(config)
    small.num_hidden_layers, small.vocab_size = n_layers, 64
    if getattr(small, "layer_types", None):
        small.layer_types = small.layer_types[:n_layers]
    small.pad_token_id, small.bos_token_id, small.eos_token_id = 0, 1, 2
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(small, dtype=dtype)
    network = network.to_empty(device=device).eval().requires_grad_(requires_grad=False)
    # The values do not matter, and drawing them takes longer than the timing.
    for weights in (*network.parameters(), *network.buffers()):
        weights.fill_(0.01)
    return network


def _editing(facts: SubjectFacts, rows: int, length: int, dtype: torch.dtype, device: str) -> float:
    resid = torch.randn(rows, length, facts.d_model, device=device).to(dtype)
    unit = torch.ones(facts.d_model, device=device).to(dtype) / facts.d_model**0.5
    edit = project_out(unit[None])
    # At a layer's input, and at the outputs of attention and MLP.
    return 3 * _timed(lambda: edit(resid)) / (rows * length)


def _head(facts: SubjectFacts, rows: int, dtype: torch.dtype, device: str) -> float:
    n_words = min(facts.config.vocab_size, _VOCABULARY)
    weight = torch.zeros(n_words, facts.d_model, device=device, dtype=dtype)
    resid = torch.randn(rows, facts.d_model, device=device).to(dtype)
    tokens = torch.tensor([0], device=device)
    taken = _timed(lambda: refusal_score(torch.nn.functional.linear(resid, weight), tokens))
    return taken / rows * facts.config.vocab_size / n_words


def _timed_width(facts: SubjectFacts) -> int:
    return min(max(sae.width for sae in facts.saes.values()), _WIDTH)


def _encoding(facts: SubjectFacts, n_tokens: int, dtype: torch.dtype, device: str) -> float:
    width = _timed_width(facts)
    resid = torch.randn(n_tokens, facts.d_model, device=device).to(dtype)
    n_saes = max(1, round(_UNCACHED_BYTES / (width * facts.d_model * dtype.itemsize)))
    n_saes = min(n_saes, len(facts.saes))
    encoders = [
        torch.full((facts.d_model, width), 0.01, device=device, dtype=dtype) for _ in range(n_saes)
    ]
    threshold = torch.zeros(width, device=device, dtype=dtype)

    def encode() -> None:
        for encoder in encoders:
            before = resid @ encoder + threshold
            torch.relu(before).mul_(before > threshold)
            del before

    return _timed(encode) / (n_saes * n_tokens * width)


def _fitting(n_masks: int, n_players: int) -> float:
    """Seconds of one fit on scores with main effects and pairs, always on the host."""
    random = np.random.default_rng(0)
    players = [FeatureId(0, i) for i in range(n_players)]
    weights = random.normal(size=(n_players, n_players)) / n_players

    def score(sets: Any) -> np.ndarray:
        masks = np.array([[player in ablated for player in players] for ablated in sets], float)
        return np.einsum("si,ij,sj->s", masks, weights, masks) + 0.01 * random.normal(
            size=len(sets)
        )

    started = time.perf_counter()
    interactions(
        [score],
        players,
        scope="",
        n_masks=n_masks,
        seed=0,
        solver=InteractionSettings().solver,
        n_shuffles=InteractionSettings().n_shuffles,
    )
    return time.perf_counter() - started


def _wake_up(work: Callable[[], Any]) -> None:
    until = time.perf_counter() + _WAKE_UP_S
    while time.perf_counter() < until:
        work()
        _finish()


def _timed(work: Callable[[], Any]) -> float:
    """Median seconds of a few repeats after a warm-up run, of fewer if they take long."""
    work()
    _finish()
    taken: list[float] = []
    while len(taken) < _REPEATS and sum(taken) < _LONG_ENOUGH_S:
        started = time.perf_counter()
        work()
        _finish()
        taken.append(time.perf_counter() - started)
    return sorted(taken)[len(taken) // 2]


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
