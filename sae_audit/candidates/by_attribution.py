"""Candidates by estimated effect on the refusal score (2505.23556), alone or within a cosine pool."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sae_audit.candidates.by_cosine import Eligible, n_left_out
from sae_audit.findings import Candidate, CandidateSet
from sae_audit.vocabulary import FeatureId

Drops = Mapping[int, Float[np.ndarray, " d_sae"]]
"""Estimated drop of the refusal score (nats) per feature, by layer."""


def mean_drops(prompts: Sequence[Drops]) -> dict[int, Float[np.ndarray, " d_sae"]]:
    """Mean drops over prompts, accumulated in float64."""
    assert prompts, "a mean of no prompts"
    return {
        layer: np.mean([drops[layer].astype(np.float64) for drops in prompts], axis=0)
        for layer in prompts[0]
    }


def by_attribution(
    drops: Drops,
    cosines: Mapping[int, Float[np.ndarray, " d_sae"]],
    eligible: Eligible,
    *,
    per_layer: int,
) -> CandidateSet:
    """The `per_layer` eligible features of each layer whose ablation should lower the score most.

    Features expected to raise it or to have no effect are left out. The null cosine is 0, since the
    choice does not use decoder rows.
    """
    candidates: list[Candidate] = []
    for layer, values in sorted(drops.items()):
        order = np.argsort(-values, kind="stable")
        top = order[eligible[layer][order]][:per_layer]
        candidates += [
            Candidate(
                feature=FeatureId(layer, int(index)),
                cosine=float(cosines[layer][index]),
                attribution=float(values[index]),
            )
            for index in top
            if values[index] > 0.0
        ]
    return CandidateSet(
        method="attribution",
        per_layer=per_layer,
        reason="",
        candidates=tuple(candidates),
        left_out=n_left_out(eligible),
    )


def within_pool(pool: CandidateSet, drops: Drops, *, keep: int) -> CandidateSet:
    """The `keep` features of largest estimated effect in a pool gathered by cosine."""

    def drop(candidate: Candidate) -> float:
        return float(drops[candidate.feature.layer][candidate.feature.index])

    chosen = sorted(pool.candidates, key=lambda c: (-drop(c), c.feature))[:keep]
    return replace(
        pool,
        method="cosine_attribution",
        candidates=tuple(
            replace(c, attribution=drop(c))
            for c in sorted(chosen, key=lambda c: (c.feature.layer, -c.cosine))
        ),
    )
