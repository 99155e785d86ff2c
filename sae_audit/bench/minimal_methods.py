"""Methods that find the features behind one prompt's refusal: rankings cut at a flip, and searches.

A ranking's answer is its shortest head that flips the prompt, the best result of any fixed K, found by
asking every head; it is empty if no head flips.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.bench.cases import PlantedAudit
from sae_audit.candidates.by_attribution import by_attribution, mean_drops, within_pool
from sae_audit.candidates.by_cosine import by_cosine
from sae_audit.config import MinimalSettings
from sae_audit.findings import CandidateSet
from sae_audit.margins import answers
from sae_audit.minimal.asking import answered
from sae_audit.minimal.limited import limited_set
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId, FeatureSet, Score

_STEPS = 10
"""Number of integration points of integrated gradients (2505.23556)."""
WITHIN_LIMITS = "ours: splitting, within limits"
"""The audit's default: the side effects of its sets on harmless prompts are limited."""
_LONGEST = 256
"""Number of heads of a ranking that are tried."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    features: FeatureSet
    """Empty if the method found no set that flips."""
    n_sets_scored: int


Method = Callable[[Prompt, Score], Answer]


def methods(audit: PlantedAudit) -> dict[str, Method]:
    """Every method by name, ready for the prompts of one model."""
    subject, state = audit.state.subject, audit.state
    pools = candidate_pools(audit)
    cosine = pools["cosine"].ranked
    random = np.random.default_rng(audit.case.seed)
    shuffled = [cosine[i] for i in random.permutation(len(cosine))]
    probe = state.training.features_charged().probe

    def effects(prompt: Prompt) -> Mapping[int, np.ndarray]:
        return subject.attribution(prompt, state.ablation)

    def by_effect(prompt: Prompt, pool: Sequence[FeatureId]) -> list[FeatureId]:
        drops = effects(prompt)
        return sorted(pool, key=lambda f: (-drops[f.layer][f.index], f))

    def everything(prompt: Prompt) -> list[FeatureId]:
        drops = effects(prompt)
        firing = [FeatureId(layer, int(i)) for layer in drops for i in np.flatnonzero(drops[layer])]
        return by_effect(prompt, firing)

    def orders(prompt: Prompt) -> list[list[FeatureId]]:
        pool = audit.state.pools[prompt.id]
        return [pool, by_effect(prompt, pool)]

    def integrated(prompt: Prompt) -> list[FeatureId]:
        drops = subject.attribution(prompt, state.ablation, steps=_STEPS)
        return sorted(cosine, key=lambda f: (-drops[f.layer][f.index], f))

    found: dict[str, Method] = {
        "random order": lambda _, score: _head(shuffled, score),
        "linear probe": lambda _, score: _head(probe, score),
        "cosine top-K": lambda _, score: _head(cosine, score),
        "attribution": lambda prompt, score: _head(everything(prompt), score),
        "attribution in cosine pool": lambda p, score: _head(by_effect(p, cosine), score),
        "integrated gradients in cosine pool": lambda p, score: _head(integrated(p), score),
        "paper's greedy": lambda prompt, score: _search("greedy", prompt, [cosine], score),
    }
    for search in ("elimination", "delta_debugging", "splitting"):
        found[f"ours: {search}"] = lambda prompt, score, search=search: _search(
            search, prompt, orders(prompt), score
        )
    limits = HarmlessChanges(state).limits

    def within_limits(prompt: Prompt, score: Score) -> Answer:
        settings, tried = MinimalSettings(), orders(prompt)
        unlimited, n = answered(minimal_set(prompt.id, tried, settings), score)
        limited, n_more = answered(limited_set(unlimited, tried, settings, limits), score)
        return Answer(features=frozenset(limited.features), n_sets_scored=n + n_more)

    return {**found, WITHIN_LIMITS: within_limits}


def candidate_pools(audit: PlantedAudit) -> dict[str, CandidateSet]:
    """Candidates by every method, with the audit's default number per layer."""
    subject, state = audit.state.subject, audit.state
    settings = state.config.candidates
    of_rows = subject.decoder_cosines(np.array([audit.state.direction.vector]))
    cosines = {layer: values[0] for layer, values in of_rows.items()}
    eligible = state.eligible
    by_direction = by_cosine(cosines, eligible, per_layer=settings.most_per_layer)
    drops = mean_drops(
        [subject.attribution(p, state.ablation) for p in audit.state.prompts.train.harmful]
    )
    return {
        "cosine": by_direction,
        "attribution": by_attribution(drops, cosines, eligible, per_layer=settings.most_per_layer),
        "cosine, then attribution": within_pool(by_direction, drops, keep=settings.keep),
        f"ours: {audit.state.candidates.method}": audit.state.candidates,
    }


def _head(ranking: Sequence[FeatureId], score: Score) -> Answer:
    heads = [frozenset(ranking[:n]) for n in range(1, min(len(ranking), _LONGEST) + 1)]
    if not heads:
        return Answer(features=frozenset(), n_sets_scored=0)
    flips = np.flatnonzero(answers(score(heads)))
    found = heads[int(flips[0])] if len(flips) else frozenset[FeatureId]()
    return Answer(features=found, n_sets_scored=len(heads))


def _search(
    name: str, prompt: Prompt, orders: Sequence[Sequence[FeatureId]], score: Score
) -> Answer:
    settings = MinimalSettings(search=name)  # pyright: ignore[reportArgumentType]
    found, n = answered(minimal_set(prompt.id, orders, settings), score)
    return Answer(features=frozenset(found.features), n_sets_scored=n)
