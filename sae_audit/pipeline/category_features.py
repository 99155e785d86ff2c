"""Features that fire on more of a category's refused prompts than of harmless ones."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from sae_audit.direction import category_geometry as geometry
from sae_audit.findings import SharedFeatures
from sae_audit.pipeline.category_prompts import RefusedByCategory
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.statistics import random_range, rank_p_value

_LEAST_DIFFERENCE = 0.25
"""Difference in the share of prompts on which a feature fires."""


def shared_features(state: AuditState, used: RefusedByCategory) -> SharedFeatures:
    """How many features fire for one category alone, for several and for all, and how many do if the
    prompts are dealt to categories at random."""
    refused = [halves.both for halves in used.refused.values()]
    category = np.repeat(np.arange(len(refused)), [len(own) for own in refused])
    fires = _firing(state, [one for own in refused for one in own])
    harmless = {
        layer: own.mean(axis=0) for layer, own in _firing(state, used.harmless.both).items()
    }
    fewest = _LEAST_DIFFERENCE * min(len(own) for own in refused)
    possible = {
        # No deal of the prompts makes a feature count that fires on fewer.
        layer: (own.sum(axis=0) >= fewest) & (harmless[layer] <= 1.0 - _LEAST_DIFFERENCE)
        for layer, own in fires.items()
    }
    fires = {layer: own[:, possible[layer]].astype(np.float32) for layer, own in fires.items()}
    harmless = {layer: own[possible[layer]] for layer, own in harmless.items()}

    def counted(deal: Int[np.ndarray, " prompt"]) -> tuple[int, int, int]:
        return geometry.counts_by_categories(fires, deal, harmless, least=_LEAST_DIFFERENCE)

    one, some, every = counted(category)
    draws = np.random.default_rng(state.config.seed)
    permuted = [
        counted(draws.permutation(category)) for _ in range(state.config.categories.n_permutations)
    ]
    ones, everys = ([float(found[i]) for found in permuted] for i in (0, 2))
    return SharedFeatures(
        least_difference=_LEAST_DIFFERENCE,
        one=one,
        some=some,
        every=every,
        one_permuted=random_range(ones),
        every_permuted=random_range(everys),
        p_one=rank_p_value(one, ones),
        p_every=rank_p_value(-every, [-n for n in everys]),
    )


def _firing(
    state: AuditState, prompts: Sequence[Prompt]
) -> dict[int, Bool[np.ndarray, "prompt d_sae"]]:
    """By layer, which features fire behind the request, at the template's tokens of each prompt."""
    found = {
        layer: np.zeros((len(prompts), sae.d_sae), bool)
        for layer, sae in state.subject.suite.items()
    }
    for layer, own in state.subject.template_activations(prompts).items():
        found[layer][:, own.index] = (own.values > 0.0).any(axis=1)
    return found
