"""The null of what categories have in common: topics of harmless prompts in their place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.direction import category_geometry as geometry
from sae_audit.direction.category_geometry import Residuals
from sae_audit.findings import RandomRange
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.taxonomy import CategorisedPrompts
from sae_audit.prompts.types import folded
from sae_audit.statistics import random_range

_DRAWS = 20
_SHARE = 0.8
"""Share of the harmless prompts in each draw, so that draws differ."""
_FEWEST = 4
"""Mean number of prompts of a topic below which topics are no null."""


@dataclass(frozen=True, kw_only=True)
class Topics:
    """Ranges over draws of topics, and of the categories cut to as few prompts."""

    mean: RandomRange
    """Mean cosine between the topics' directions."""
    ratio: RandomRange
    """Their participation ratio."""
    silhouette: RandomRange
    """Silhouette of their best grouping."""
    own_mean: RandomRange
    """Mean cosine between the categories' directions."""
    own_silhouette: RandomRange
    size: float
    """Mean number of prompts of a topic."""


def topics_of(
    state: AuditState,
    prompts: CategorisedPrompts,
    categories: Sequence[Residuals],
    harmless: Residuals,
) -> Topics | None:
    """What topics of harmless prompts give in the categories' place, one more of them in the harmless
    prompts'; None if there are too few.

    `categories` and `harmless` are residual streams [prompt, d_model] at the audit's layer and position.
    """
    at, n = state.direction.selected, len(categories)
    taken = {folded(one.text) for one in prompts.everyone}
    others = [
        one
        for one in (*state.prompts.train.harmless, *state.prompts.validation.harmless)
        if folded(one.text) not in taken
    ]
    streams = harmless
    if others:
        further = state.subject.residuals_at(others, layer=at.layer, position=at.position)
        streams = np.concatenate([streams, further])
    n_drawn = round(_SHARE * len(streams))
    if n_drawn < _FEWEST * (n + 1):
        return None
    found = {name: [0.0] * _DRAWS for name in ("mean", "ratio", "silhouette", "own_mean", "own")}
    draws = np.random.default_rng(state.config.seed)
    for i in range(_DRAWS):
        drawn = streams[draws.permutation(len(streams))[:n_drawn]]
        clusters = geometry.topics(drawn, n + 1)
        # One of them stands for the harmless prompts.
        pool = clusters.pop(int(draws.integers(n + 1)))
        vectors = geometry.mean_differences(clusters, pool)
        matrix = geometry.cosine_matrix(vectors)
        found["mean"][i] = geometry.off_diagonal(matrix)
        found["ratio"][i] = geometry.participation_ratio(matrix)
        found["silhouette"][i] = geometry.grouped(geometry.centred_matrix(vectors))[1]
        # Means of few prompts are noisier: categories of as few are what topics are a null of.
        cut = [
            own[draws.permutation(len(own))[: len(one)]]
            for own, one in zip([*categories, harmless], [*clusters, pool], strict=True)
        ]
        vectors = geometry.mean_differences(cut[:-1], cut[-1])
        found["own_mean"][i] = geometry.off_diagonal(geometry.cosine_matrix(vectors))
        found["own"][i] = geometry.grouped(geometry.centred_matrix(vectors))[1]
    return Topics(
        mean=random_range(found["mean"]),
        ratio=random_range(found["ratio"]),
        silhouette=random_range(found["silhouette"]),
        own_mean=random_range(found["own_mean"]),
        own_silhouette=random_range(found["own"]),
        size=n_drawn / (n + 1),
    )
