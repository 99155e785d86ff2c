"""Players of an interaction fit: the features whose ablation matters most, alone or last."""

from collections.abc import Sequence

import numpy as np

from sae_audit.vocabulary import FeatureId, FeatureSet, Score

_NO_EFFECT = 1e-6


def strongest_players(
    score: Score, candidates: Sequence[FeatureId], *, always: FeatureSet, max_players: int
) -> tuple[list[FeatureId], int]:
    """Up to `max_players` candidates, sorted, and the number of sets scored to choose them.

    A feature's strength is the larger of two absolute effects (nats): of ablating it alone, and of
    keeping it alone when all other candidates are ablated, which shows features that act only behind
    others. Features in `always` go first; features without effect are left out.
    """
    whole = frozenset(candidates)
    sets = [frozenset(), whole]
    sets += [frozenset([feature]) for feature in candidates]
    sets += [whole - {feature} for feature in candidates]
    scores = score(sets)
    n = len(candidates)
    alone = np.abs(scores[2 : 2 + n] - scores[0])
    last = np.abs(scores[2 + n :] - scores[1])
    strength = np.maximum(alone, last)
    order = sorted(
        range(n), key=lambda i: (candidates[i] not in always, -strength[i], candidates[i])
    )
    moving = [candidates[i] for i in order if candidates[i] in always or strength[i] > _NO_EFFECT]
    return sorted(moving[:max_players]), len(sets)
