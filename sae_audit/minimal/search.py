"""A certified minimal set for one prompt, by any of the searches (2509.09708; 1-minimality ours).

1. Ablate every candidate. If the prompt still refuses, no subset is claimed to flip it.
2. Search for a set that flips.
3. Certify: score the set, and the set without each single feature. If a feature can be removed, finish
   by elimination and certify again.
4. Repeat for each order of the candidates, and keep the smallest set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.config import MinimalSettings
from sae_audit.findings import CertifiedSet, MinimalSet
from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking, Scores, in_step
from sae_audit.minimal.delta_debugging import delta_debug
from sae_audit.minimal.elimination import eliminate_until_minimal
from sae_audit.minimal.greedy import filter_greedily
from sae_audit.minimal.splitting import split
from sae_audit.vocabulary import FeatureId, FeatureSet


def minimal_set(
    prompt_id: str, orders: Sequence[Sequence[FeatureId]], settings: MinimalSettings
) -> Asking[MinimalSet]:
    """The minimal set of one prompt, with its certificate.

    Each of `orders` holds all candidates, the likeliest first. If all of them together do not flip the
    prompt, the set is empty and states the reason.
    """
    candidates = frozenset(orders[0])
    assert candidates, "no candidates"
    assert all(frozenset(order) == candidates for order in orders), "orders of other candidates"
    n_asked = 2
    clean, furthest = map(float, (yield [frozenset(), candidates]))
    best = Certified(features=frozenset(), found=frozenset(), scores=np.array([furthest]))
    if answers(furthest):
        # Elimination finds its own order: the effects it measures.
        tried = orders[:1] if settings.search == "elimination" else orders
        results = yield from in_step([certified(order, settings) for order in tried])
        n_asked += sum(n for _, n in results)
        # Of equally small ones, the first order's.
        best = min((found for found, _ in results), key=lambda found: len(found.features))
    return MinimalSet(
        prompt_id=prompt_id,
        features=tuple(sorted(best.features)),
        search=settings.search,
        clean_score=clean,
        candidates_score=furthest,
        ablated_score=float(best.scores[0]),
        score_without=best.score_without,
        found_by_search=tuple(sorted(best.found)),
        filtered=None if best.filtered is None else tuple(sorted(best.filtered)),
        n_candidates=len(candidates),
        n_sets_scored=n_asked,
        reason=""
        if answers(furthest)
        else (
            f"Ablating all {len(candidates)} candidates leaves the refusal score at "
            f"{furthest:+z.2f}, need < 0: widen the pool (candidates.per_layer) or audit more "
            "layers (layers)."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Certified:
    """A search's result and the certified set made from it."""

    features: FeatureSet
    found: FeatureSet
    """The set that the search returned."""
    filtered: FeatureSet | None = None
    """The set that greedy filtering left to elimination; None for other searches."""
    scores: Scores
    """Scores of the set, then of the set without each feature in order; nats."""

    @property
    def score_without(self) -> dict[FeatureId, float]:
        return dict(zip(sorted(self.features), map(float, self.scores[1:]), strict=True))

    def as_finding(self) -> CertifiedSet:
        return CertifiedSet(
            features=tuple(sorted(self.features)),
            ablated_score=float(self.scores[0]),
            score_without=self.score_without,
        )


def certified(order: Sequence[FeatureId], settings: MinimalSettings) -> Asking[Certified]:
    """A certified minimal set among features that all together flip, the likeliest first."""
    filtered = None
    if settings.search == "greedy":
        filtered = yield from filter_greedily(order, tau=settings.tau, patience=settings.patience)
    left = found = yield from _search(order, settings, filtered)
    while True:
        scores = yield [left, *(left - {feature} for feature in sorted(left))]
        if not answers(scores[1:]).any():
            return Certified(features=left, found=found, filtered=filtered, scores=scores)
        left = yield from eliminate_until_minimal(left, patience=settings.patience)


def _search(
    order: Sequence[FeatureId], settings: MinimalSettings, filtered: FeatureSet | None
) -> Asking[FeatureSet]:
    match settings.search:
        case "splitting":
            return split(order, patience=settings.patience)
        case "delta_debugging":
            return delta_debug(order)
        case "greedy":
            assert filtered is not None, "greedy filtering without a filter"
            return eliminate_until_minimal(filtered, patience=settings.patience)
        case "elimination":
            return eliminate_until_minimal(frozenset(order), patience=settings.patience)
