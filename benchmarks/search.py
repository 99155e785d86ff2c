"""Time the way to certified minimal sets: the paper's search on plain hooks against ours.

    uv run python -m benchmarks.search

The bundled organism, its audit prompts, the candidates nearest its refusal direction. Every search
is asked for the same prompts and certified by the same code; a row says how many ablated sets it
asked about, how long that took, and how large its sets are.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from benchmarks import rivals, shapes
from sae_audit.candidates.by_cosine import by_cosine
from sae_audit.config import AuditConfig, MinimalSettings
from sae_audit.findings import MinimalSet
from sae_audit.minimal.asking import answered, answered_together
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import direction, scores
from sae_audit.prompts.types import Prompt
from sae_audit.subject import Subject
from sae_audit.vocabulary import Ablation, FeatureId, Score

Search = Literal["splitting", "delta_debugging", "greedy", "elimination"]
Orders = Callable[[Prompt], list[list[FeatureId]]]


@dataclass(frozen=True, kw_only=True)
class Row:
    sets: list[MinimalSet]
    seconds: float

    def show(self, name: str) -> None:
        flipped = [found for found in self.sets if found.flipped]
        assert all(found.certified for found in flipped), name
        asked = np.array([found.n_sets_scored for found in self.sets])
        sizes = np.array([len(found.features) for found in flipped])
        print(
            f"{name:32}{len(flipped):4} of {len(self.sets):<4}{asked.mean():9.1f}"
            f"{sizes.mean():8.2f}{np.median(sizes):8.1f}{self.seconds:9.1f}"
        )


def main() -> None:
    arguments = _arguments()
    subject, prompts, pool = _question(arguments)
    print(f"{len(prompts)} prompts, {len(pool)} candidates")
    print(f"{'search':32}{'flipped':>12}{'asked':>9}{'size':>8}{'median':>8}{'seconds':>9}")

    def by_attribution(prompt: Prompt) -> list[FeatureId]:
        drops = subject.attribution(prompt)
        return sorted(pool, key=lambda feature: -drops[feature.layer][feature.index])

    orders: dict[str, Orders] = {
        "cosine": lambda _: [pool],
        "attribution": lambda prompt: [by_attribution(prompt)],
        "both": lambda prompt: [pool, by_attribution(prompt)],
    }
    _together(subject, prompts[:2], "splitting", orders["both"]).show("(warm-up, 2 prompts)")
    _together(subject, prompts, "elimination", orders["cosine"]).show("elimination, ours")
    searches: list[Search] = ["greedy", "delta_debugging", "splitting"]
    for search in searches:
        for name, order in orders.items():
            _together(subject, prompts, search, order).show(f"{search}, {name}, ours")
    if arguments.hooks_prompts:
        few = prompts[: arguments.hooks_prompts]
        _on_hooks(subject, few, pool).show("greedy, cosine, plain hooks")


def _question(arguments: argparse.Namespace) -> tuple[Subject, list[Prompt], list[FeatureId]]:
    """The organism, its refused audit prompts, and the candidates an audit gathers."""
    config = AuditConfig.model_validate(
        {
            "model": shapes.ORGANISM,
            "saes": "bundled:organism/saes",
            "prompts": {"sources": ["bundled:organism/prompts.jsonl"]},
            "refusal_tokens": ["I", "Sorry"],
        }
    )
    with TemporaryDirectory() as folder, unpublished(config, Path(folder) / "run") as state:
        scores.run(state)
        direction.run(state)
    subject = state.subject
    of_rows = subject.decoder_cosines(np.array([state.direction.vector]))
    found = by_cosine(
        {layer: values[0] for layer, values in of_rows.items()},
        state.eligible,
        per_layer=arguments.per_layer,
    )
    return subject, state.refused[: arguments.prompts], found.ranked


def _together(subject: Subject, prompts: Sequence[Prompt], search: Search, orders: Orders) -> Row:
    started = time.perf_counter()
    settings = MinimalSettings(search=search)
    by_id = {prompt.id: prompt for prompt in prompts}
    score = subject.refusal_scores(Ablation())
    found: dict[str, MinimalSet] = {}
    answered_together(
        {prompt.id: minimal_set(prompt.id, orders(prompt), settings) for prompt in prompts},
        lambda questions: score([(by_id[key], ablated) for key, ablated in questions]),
        done=found.__setitem__,
    )
    return Row(sets=list(found.values()), seconds=time.perf_counter() - started)


def _on_hooks(subject: Subject, prompts: Sequence[Prompt], pool: Sequence[FeatureId]) -> Row:
    started = time.perf_counter()
    settings = MinimalSettings(search="greedy", patience=1)
    answer = rivals.plain_hooks(subject, Ablation())

    def score_of(prompt: Prompt) -> Score:
        return lambda sets: answer(prompt, sets)

    sets = [
        answered(minimal_set(prompt.id, [list(pool)], settings), score_of(prompt))[0]
        for prompt in prompts
    ]
    return Row(sets=sets, seconds=time.perf_counter() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--per-layer", type=int, default=16, help="candidates in each of 8 layers")
    parser.add_argument(
        "--hooks-prompts", type=int, default=40, help="prompts for the slow rival; 0 leaves it out"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
