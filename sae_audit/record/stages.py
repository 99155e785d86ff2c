"""What the rows of each stage are, and which tensors a stage leaves beside its row."""

from collections.abc import Iterable
from typing import Any

from sae_audit.findings import (
    Absence,
    CandidateSet,
    Cascade,
    CascadeByChance,
    Confirmation,
    Controls,
    DictionaryCoverage,
    Direction,
    DirectionCheck,
    FlipDose,
    InteractionGraph,
    MinimalSet,
    MinimalSetFamily,
    NoDirection,
    PooledCascade,
    PooledSet,
    PromptScore,
    SaeQuality,
    SuccessiveDirections,
    Sufficiency,
    WakeEdges,
    Waking,
    WidenedPool,
)

ONCE: dict[str, Any] = {
    "scores": list[PromptScore],
    "sae_quality": list[SaeQuality],
    "absence": Absence,
    "direction": Direction | NoDirection,
    "direction_check": DirectionCheck,
    "successive_directions": SuccessiveDirections,
    "dictionary_coverage": DictionaryCoverage,
    "candidates": CandidateSet,
    "pooled_set": PooledSet,
    "pooled_cascade": PooledCascade,
    "controls": Controls,
    "sufficiency": Sufficiency,
    "confirmation": Confirmation,
}
"""Stages of one row."""
BY_PROMPT: dict[str, Any] = {
    "widening": WidenedPool,
    "minimal_sets": MinimalSet,
    "minimal_set_families": MinimalSetFamily,
    "doses": FlipDose,
    "search_by_chance": MinimalSet,
    "cascades": Cascade,
    "cascades_by_chance": CascadeByChance,
    "edges": WakeEdges,
    "waking": Waking,
}
"""Stages of a row a prompt, each naming its `prompt_id`."""
KINDS: dict[str, Any] = {**ONCE, **BY_PROMPT, "interactions": InteractionGraph}


def tensors_of(stages: Iterable[str]) -> set[str]:
    """The tensor files that a finished run has, of which these stages are recorded."""
    found = {"means", "means_by_group"}
    if "direction_check" in stages:
        found.add("random_directions")
    if "successive_directions" in stages:
        found.add("successive_directions")
    return found
