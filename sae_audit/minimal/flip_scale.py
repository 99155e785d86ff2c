"""The smallest ablation scale that flips a prompt.

    x <- x - scale * sum_i (f_i(x) - clamp_i) d_i

1. Score evenly spaced scales. The first that flips and the one before it form a bracket.
2. Bisect the bracket towards the point at which refusal ends, until it is within the tolerance.

The grid comes first because scores need not fall with the scale: bisection alone could miss the first
end of refusal. A flip that comes and goes between two grid scales is missed.
"""

import numpy as np

from sae_audit.config import AblationScaleSettings
from sae_audit.findings import FlipScale, MinimalSet, ScalePoint
from sae_audit.margins import answers
from sae_audit.minimal.asking import AskingScales
from sae_audit.vocabulary import FeatureSet, Scaled


def flip_scale(
    found: MinimalSet, candidates: FeatureSet, settings: AblationScaleSettings
) -> AskingScales[FlipScale]:
    """The smallest ablation scale that flips a prompt, of its minimal set or else of all candidates.

    For a minimal set it lies between 0 and 1, and the score at 1 is known from `found`. If no set flips
    the prompt, all candidates are ablated by scales above 1, up to `settings.limit`.
    """
    assert settings.grid > 0, settings
    if found.flipped:
        ablated, features = "minimal_set", frozenset(found.features)
        scored = {1.0: found.ablated_score}
        low, high = 0.0, 1.0
    else:
        ablated, features = "candidates", candidates
        scored = {1.0: found.candidates_score}
        low, high = 1.0, settings.limit
    # Scale 0 is asked too: without the error term it differs from the clean run.
    grid = {0.0, *map(float, np.linspace(low, high, settings.grid + 1))}
    scales = sorted(grid - scored.keys())
    while scales := scales or _middle(scored, settings.tolerance):
        scores = yield [Scaled(features, scale) for scale in scales]
        scored |= zip(scales, map(float, scores), strict=True)
        scales = []
    return FlipScale(
        prompt_id=found.prompt_id,
        ablated=ablated,
        n_features=len(features),
        scale=_first_flip(scored),
        points=tuple(ScalePoint(scale=scale, score=scored[scale]) for scale in sorted(scored)),
        tolerance=settings.tolerance,
        n_sets_scored=len(scored) - 1,
    )


def _first_flip(scored: dict[float, float]) -> float | None:
    return min((scale for scale, score in scored.items() if answers(score)), default=None)


def _middle(scored: dict[float, float], tolerance: float) -> list[float]:
    """The middle of the bracket, to score next; empty without a bracket wider than the tolerance."""
    flips = _first_flip(scored)
    if not flips:
        return []
    below = max(scale for scale in scored if scale < flips)
    return [(below + flips) / 2.0] if flips - below > tolerance else []
