"""A certified minimal set for one prompt (2509.09708, "greedy filtering"; 1-minimality ours).

1. Ablate every candidate. If the prompt still refuses, no subset is claimed to flip it.
2. Filter: in order of rising cosine, spare each feature whose sparing changes the refusal
   probability by less than the share tau, and leaves the prompt flipped.
3. Eliminate: in order of rising effect, spare each feature without which the prompt stays flipped;
   again until a whole round spares none. (One round is not enough: effects are not monotone.)
4. Certificate: the score of the set, and of the set less each single feature.
"""

from collections.abc import Sequence

import numpy as np

from sae_audit.config import MinimalSettings
from sae_audit.findings import MinimalSet
from sae_audit.minimal.elimination import eliminate
from sae_audit.vocabulary import FeatureId, FeatureSet, Score


def minimal_set(
    prompt_id: str, score: Score, candidates: Sequence[FeatureId], settings: MinimalSettings
) -> MinimalSet:
    """The minimal set found by backward greedy filtering, with its certificate.

    `candidates` are ordered by falling cosine; `score` is the refusal score (nats) of one prompt
    under ablation. A prompt that all candidates together do not flip comes back without features
    and with the reason.
    """
    assert candidates, "no candidates"
    clean, furthest = (float(value) for value in score([frozenset(), frozenset(candidates)]))
    if furthest >= 0.0:
        return MinimalSet(
            prompt_id=prompt_id,
            features=(),
            score_clean=clean,
            score_candidates=furthest,
            score_ablated=furthest,
            score_without={},
            kept_by_filter=(),
            n_candidates=len(candidates),
            n_sets_scored=2,
            reason=(
                f"Ablating all {len(candidates)} candidates leaves the refusal score at "
                f"{furthest:+.2f}, need < 0: widen the pool (candidates.per_layer) or audit more "
                "layers (layers)."
            ),
        )
    kept, n_filter = eliminate(
        score, candidates[::-1], _hardly_changes(settings.tau), patience=settings.patience
    )
    left, n_eliminate = _until_minimal(score, kept, settings.patience)
    certificate = score([left, *(left - {feature} for feature in sorted(left))])
    return MinimalSet(
        prompt_id=prompt_id,
        features=tuple(sorted(left)),
        score_clean=clean,
        score_candidates=furthest,
        score_ablated=float(certificate[0]),
        score_without=dict(zip(sorted(left), map(float, certificate[1:]), strict=True)),
        kept_by_filter=tuple(sorted(kept)),
        n_candidates=len(candidates),
        n_sets_scored=2 + n_filter + n_eliminate + len(certificate),
        reason="",
    )


def _hardly_changes(tau: float):
    def spares(before: float, after: float) -> bool:
        p_before, p_after = _probability(before), _probability(after)
        # Many drops below tau can add up to a prompt that refuses again; none may do that.
        return after < 0.0 and abs(p_after - p_before) < tau * p_before

    return spares


def _probability(score: float) -> float:
    return float(1.0 / (1.0 + np.exp(-score)))


def _until_minimal(score: Score, kept: FeatureSet, patience: int) -> tuple[FeatureSet, int]:
    n_scored = 0
    while True:
        features = sorted(kept)
        spared = score([kept - {feature} for feature in features])
        order = [features[i] for i in np.argsort(spared, kind="stable")]
        left, n = eliminate(score, order, lambda _, after: after < 0.0, patience=patience)
        n_scored += len(features) + n
        if left == kept:
            return left, n_scored
        kept = left
