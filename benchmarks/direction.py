"""Count and time what choosing the refusal direction takes, against asking about every candidate.

    uv run python -m benchmarks.direction

A layer-pass is one decoder layer run on one prompt. `organism` is the bundled one on its own prompts;
`drawn` no model at all, but 150 candidates of a model of 30 layers whose numbers are drawn around a bump
in the middle layers, ten times; `random`, which takes minutes, 30 layers of Llama's shape with random
weights, whose refusal token is taught to tell two kinds of random prompts apart: no direction passes
there. `--batches` shows what batches of unequal prompts save instead.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks import shapes
from benchmarks.shapes import Shape
from sae_audit.config import DirectionSettings
from sae_audit.direction.estimators.difference_of_means import difference_of_means
from sae_audit.direction.methods import Choice, Means
from sae_audit.direction.selection import select_direction
from sae_audit.direction.selectors.bypass import by_bypass
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.loading import subject_of
from sae_audit.subject.model import batches
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import SCORE_BOUND

_DEEP = Shape(
    family="llama",
    n_layers=30,
    d_model=192,
    d_mlp=512,
    n_heads=3,
    n_kv_heads=3,
    d_head=64,
    n_vocabulary=4096,
    d_sae=64,
)
_LAYERS, _POSITIONS = 30, 5
_REFUSAL = "w0"
_N_TRAIN = 96
"""Of each kind, also those that the refusal token is taught on."""
_MARGIN = 6.0
_RIDGE = 0.02
_KIND_WORDS = 60
"""Words of each kind; prompts are of its own kind and of neither."""

Prompts = tuple[list[Prompt], list[Prompt]]
"""Harmful and harmless."""


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    subject: Subject
    train: Prompts
    validation: Prompts


def main() -> None:
    arguments = _arguments()
    if arguments.model == "drawn":
        _show_drawn(arguments.validation)
        return
    made = {"organism": _organism, "random": _random}
    cases = [made[arguments.model](arguments.validation)]
    if arguments.batches:
        print(
            f"{'model':12}{'prompts':>9}{'batches of one length':>24}{'s':>8}{'padded':>8}{'s':>8}"
        )
        for case in cases:
            _show_batches(case)
        return
    print(
        f"{'model':12}{'candidates':>11}{'layer-passes: all':>19}{'ours':>9}{'fewer':>7}"
        f"{'seconds: all':>14}{'ours':>8}  chosen"
    )
    for case in cases:
        _show(case)


def _show(case: Case) -> None:
    subject, settings = case.subject, DirectionSettings()
    harmful, harmless = map(subject.mean_residuals, case.train)
    means = Means(harmful=harmful, harmless=harmless)
    effects = subject.direction_effects(*case.validation)
    candidates = difference_of_means(means)

    def of_all() -> Any:
        found = [
            effects(vector, position=position, layer=layer)
            for vector, layer, position in zip(
                candidates.vectors, candidates.layers, candidates.positions, strict=True
            )
        ]
        return select_direction(found, means.n_layers, settings.kl_limit, settings.induce_floor)

    def ours() -> Choice:
        subject.forget_clean_runs()
        return by_bypass(candidates, means, effects, settings, lambda *_: None)

    chosen, all_passes, all_seconds = _counted(subject, of_all)
    found, passes, seconds = _counted(subject, ours)
    own, expected = found.selected.evaluation, chosen.evaluation
    assert own is not None, chosen
    assert expected is not None, found
    assert (own.layer, own.position) == (expected.layer, expected.position), (own, chosen)
    marked = f" ({'; '.join(found.selected.breaks)})" if found.selected.breaks else ""
    place = f"layer {own.layer}, position {own.position}, bypass {own.bypass:.2f}{marked}"
    print(
        f"{case.name:12}{len(candidates):11}{all_passes:19,}{passes:9,}"
        f"{all_passes / passes:7.1f}{all_seconds:14.1f}{seconds:8.1f}  {place}"
    )


@dataclass(kw_only=True, eq=False)
class _Drawn:
    """Answers about 150 candidates of 30 layers, the direction of each naming which one it is."""

    n_harmful: int
    n_harmless: int
    least_kl: Float[np.ndarray, " harmless"]
    of_bypass: Float[np.ndarray, "candidate harmful"]
    of_induce: Float[np.ndarray, "candidate harmless"]
    of_kl: Float[np.ndarray, "candidate harmless"]
    score_bound: float = SCORE_BOUND
    layer_passes: int = 0

    @classmethod
    def by_seed(cls, seed: int, n: int) -> "_Drawn":
        random = np.random.default_rng(seed)
        layers = np.repeat(np.arange(_LAYERS), _POSITIONS)
        bump = np.exp(-(((layers - _LAYERS / 2) / (_LAYERS / 5)) ** 2))
        strength = (bump * random.uniform(0.2, 1.0, len(layers)))[:, None]

        def prompts(scale: float) -> Float[np.ndarray, "candidate prompt"]:
            return random.normal(0, 1.5, n) + random.normal(0, scale, (len(layers), n))

        kl = np.exp(random.normal(np.log(0.05), 1.3, (len(layers), 1)))
        kl[random.random(len(layers)) < 0.4] *= 10.0
        return cls(
            n_harmful=n,
            n_harmless=n,
            least_kl=np.full(n, -0.001),
            of_bypass=4.0 - 10.0 * strength + prompts(0.7),
            of_induce=-9.0 + 15.0 * strength + prompts(0.7),
            of_kl=kl * np.exp(random.normal(0, 0.8, (len(layers), n))),
        )

    def bypass(self, directions: Any, prompts: Sequence[int]) -> Float[np.ndarray, " row"]:
        self.layer_passes += len(prompts) * _LAYERS
        return self.of_bypass[directions[:, 0].astype(int), list(prompts)]

    def kl(self, directions: Any, prompts: Sequence[int]) -> Float[np.ndarray, " row"]:
        self.layer_passes += len(prompts) * _LAYERS
        return self.of_kl[directions[:, 0].astype(int), list(prompts)]

    def induce(
        self, directions: Any, prompts: Sequence[int], layers: Sequence[int]
    ) -> Float[np.ndarray, " row"]:
        self.layer_passes += sum(_LAYERS - 1 - layer for layer in layers)
        return self.of_induce[directions[:, 0].astype(int), list(prompts)]


def _show_drawn(n: int) -> None:
    """The choice is checked too; passes that read the clean model are counted on both sides."""
    n_candidates = _LAYERS * _POSITIONS
    numbered = np.stack([np.arange(n_candidates), np.ones(n_candidates)], axis=1)
    fewer: list[float] = []
    for seed in range(10):
        drawn = _Drawn.by_seed(seed, n)
        means = Means(
            harmful=numbered.reshape(_LAYERS, _POSITIONS, 2),
            harmless=np.zeros((_LAYERS, _POSITIONS, 2)),
        )
        found = by_bypass(
            difference_of_means(means), means, drawn, DirectionSettings(), lambda *_: None
        )
        assert not found.selected.breaks, found.selected
        clean = n * _LAYERS
        fewer.append((3 * n * n_candidates * _LAYERS + clean) / (drawn.layer_passes + clean))
    print(
        f"drawn, {n} + {n} prompts: {min(fewer):.1f} to {max(fewer):.1f} times fewer layer-passes, "
        f"{np.mean(fewer):.1f} on average"
    )


def _show_batches(case: Case) -> None:
    subject = case.subject
    prompts = [one for own in (*case.train, *case.validation) for one in own][:64]

    def n_batches() -> int:
        return len(list(subject._passes.batches(subject._tokens(prompts))))

    subject.clean_scores(prompts)
    few, few_seconds = n_batches(), _seconds(lambda: subject.clean_scores(prompts))
    allowed, batches.MOST_PADDING = batches.MOST_PADDING, 0.0
    many, many_seconds = n_batches(), _seconds(lambda: subject.clean_scores(prompts))
    batches.MOST_PADDING = allowed
    print(f"{case.name:12}{len(prompts):9}{many:24}{many_seconds:8.3f}{few:8}{few_seconds:8.3f}")


def _counted(subject: Subject, work: Callable[[], Any]) -> tuple[Any, int, float]:
    with _layer_passes(subject) as passes:
        started = time.perf_counter()
        found = work()
        return found, passes[0], time.perf_counter() - started


@contextmanager
def _layer_passes(subject: Subject) -> Iterator[list[int]]:
    """Rows that any decoder layer is run on inside the block."""
    n = [0]

    def count(_module: Any, _args: Any, output: Any) -> None:
        n[0] += len(output[0] if isinstance(output, tuple) else output)

    layers = subject.network.model.layers
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        yield n
    finally:
        for handle in handles:
            handle.remove()


def _seconds(work: Callable[[], Any]) -> float:
    """The least of five."""
    taken: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _organism(n_validation: int) -> Case:
    from sae_audit.bundled import resolve
    from sae_audit.prompts.sources import read_prompts

    subject, _ = shapes.organism()
    prompts = read_prompts([resolve("bundled:organism/prompts.jsonl")])
    return _case("organism", subject, [p for p in prompts if p.text], 64, n_validation)


def _random(n_validation: int) -> Case:
    torch.manual_seed(0)
    network = shapes.network(_DEEP, torch.float32).eval().requires_grad_(requires_grad=False)
    for layer in network.model.layers:
        # As random weights are drawn, thirty layers would leave the embedding as it is.
        for weights in (layer.self_attn.v_proj, layer.self_attn.o_proj, layer.mlp.down_proj):
            weights.weight.mul_(2.0)
    tokenizer = shapes.tokenizer()
    suite = {29: Sae(shapes._sae(_DEEP, 29, "cpu", torch.float32), layer=29, id="", sha256="")}
    subject = subject_of(network, tokenizer, suite, refusal_tokens=[_REFUSAL])
    prompts = [
        Prompt(id=f"{label}-{i}", text=_words(label, i), label=label)
        for i in range(_N_TRAIN + 2 * n_validation)
        for label in Label
    ]
    _teach(subject, prompts[: 2 * _N_TRAIN], tokenizer.convert_tokens_to_ids(_REFUSAL))
    return _case("30 layers", subject, prompts, _N_TRAIN, n_validation)


def _words(label: Label, i: int) -> str:
    """Six to thirty words, half of them of the label's own kind."""
    random = np.random.default_rng((i, label == Label.HARMFUL))
    first = 10 + _KIND_WORDS * (label == Label.HARMFUL)
    n = int(random.integers(3, 16))
    own = random.integers(first, first + _KIND_WORDS, n)
    neither = random.integers(10 + 2 * _KIND_WORDS, 200, n)
    return " ".join(f"w{word}" for word in random.permutation([*own, *neither]))


def _teach(subject: Subject, prompts: Sequence[Prompt], token: int) -> None:
    """The refusal token's row of the unembedding, by ridge regression on the final norm's output, so
    that its logit is above all others together on harmful prompts, and below on harmless ones."""
    final = _final(subject, prompts)
    head = subject.network.lm_head.weight
    head[token] = 0.0
    logits = final @ head.T
    logits[:, token] = -torch.inf
    refused = torch.tensor([prompt.label == Label.HARMFUL for prompt in prompts])
    wanted = logits.logsumexp(dim=-1) + torch.where(refused, _MARGIN, -_MARGIN)
    gram = final.T @ final + _RIDGE * len(final) * torch.eye(final.shape[1])
    head[token] = torch.linalg.solve(gram, final.T @ wanted)


@torch.no_grad()
def _final(subject: Subject, prompts: Sequence[Prompt]) -> Float[Tensor, "prompt d_model"]:
    seen: list[Tensor] = []
    handle = subject.network.model.norm.register_forward_hook(
        lambda _module, _args, output: seen.append(output[0, -1])
    )
    try:
        for prompt in prompts:
            subject.network(input_ids=subject.template.tokens(prompt.text)[None])
    finally:
        handle.remove()
    return torch.stack(seen)


def _case(
    name: str, subject: Subject, prompts: Sequence[Prompt], n_train: int, n_validation: int
) -> Case:
    """Prompts that the model treats as labelled, the first for training."""
    scores = subject.clean_scores(prompts)
    kept = {
        label: [
            one
            for one, score in zip(prompts, scores, strict=True)
            if one.label == label and (score > 0.0) == (label == Label.HARMFUL)
        ]
        for label in Label
    }
    harmful, harmless = kept[Label.HARMFUL], kept[Label.HARMLESS]
    end = n_train + n_validation
    return Case(
        name=name,
        subject=subject,
        train=(harmful[:n_train], harmless[:n_train]),
        validation=(harmful[n_train:end], harmless[n_train:end]),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", choices=("organism", "drawn", "random"), default="organism")
    parser.add_argument("--validation", type=int, default=32, help="prompts of each label")
    parser.add_argument("--batches", action="store_true", help="time batches of unequal prompts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
