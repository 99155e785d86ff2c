"""The smallest dose at which an ablation flips a prompt.

    x <- x - dose * sum_i (f_i(x) - clamp_i) d_i

1. Score evenly spaced doses. The first that flips, and the one before it, are a bracket.
2. Score its middle, keep the half in which refusal ends, until the bracket is no wider than the
   tolerance.

A grid first, since scores need not fall with the dose: bisection alone would find some place where
refusal ends, and not the first. A flip between two grid doses that has come and gone is not seen.
"""

import numpy as np

from sae_audit.config import DoseSettings
from sae_audit.findings import DosePoint, FlipDose, MinimalSet
from sae_audit.margins import answers
from sae_audit.minimal.asking import AskingDoses
from sae_audit.vocabulary import Dosed, FeatureSet


def flip_dose(
    found: MinimalSet, candidates: FeatureSet, settings: DoseSettings
) -> AskingDoses[FlipDose]:
    """The smallest dose that flips a prompt: of its minimal set, or else of all candidates.

    The minimal set's dose lies between none and the whole ablation, whose score is known from
    `found`. A prompt that no set flips is overshot with all candidates, up to `settings.limit`.
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
    # Dose 0 is asked for as well: where the error term is dropped it is not the clean run.
    grid = {0.0, *map(float, np.linspace(low, high, settings.grid + 1))}
    doses = sorted(grid - scored.keys())
    while doses := doses or _middle(scored, settings.tolerance):
        scores = yield [Dosed(features, dose) for dose in doses]
        scored |= zip(doses, map(float, scores), strict=True)
        doses = []
    return FlipDose(
        prompt_id=found.prompt_id,
        ablated=ablated,
        n_features=len(features),
        dose=_first_flip(scored),
        points=tuple(DosePoint(dose=dose, score=scored[dose]) for dose in sorted(scored)),
        tolerance=settings.tolerance,
        n_sets_scored=len(scored) - 1,
    )


def _first_flip(scored: dict[float, float]) -> float | None:
    return min((dose for dose, score in scored.items() if answers(score)), default=None)


def _middle(scored: dict[float, float], tolerance: float) -> list[float]:
    """The dose to score next: the middle of the bracket, where there is one, until it is narrow."""
    flips = _first_flip(scored)
    if not flips:
        return []
    below = max(dose for dose in scored if dose < flips)
    return [(below + flips) / 2.0] if flips - below > tolerance else []
