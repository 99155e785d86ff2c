"""The record as data frames, one row a case."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from sae_audit.record.tables.behaviour import costs, saes, scores
from sae_audit.record.tables.cascades import cascades, wake_edges, waking_tokens, waves
from sae_audit.record.tables.direction import (
    candidates,
    coverage,
    direction_check,
    directions,
    successive_directions,
)
from sae_audit.record.tables.interactions import (
    interaction_fits,
    pairs,
    pairs_over_prompts,
    triples,
)
from sae_audit.record.tables.minimal_sets import doses, minimal_set_families, minimal_sets

if TYPE_CHECKING:
    from sae_audit.record.run import Run


TABLES: dict[str, Callable[["Run"], pd.DataFrame]] = {
    "scores": scores,
    "saes": saes,
    "directions": directions,
    "direction_check": direction_check,
    "successive_directions": successive_directions,
    "coverage": coverage,
    "candidates": candidates,
    "minimal_sets": minimal_sets,
    "minimal_set_families": minimal_set_families,
    "doses": doses,
    "interaction_fits": interaction_fits,
    "pairs": pairs,
    "pairs_over_prompts": pairs_over_prompts,
    "triples": triples,
    "waves": waves,
    "cascades": cascades,
    "wake_edges": wake_edges,
    "waking_tokens": waking_tokens,
    "costs": costs,
}
