"""The stages of an audit, a file each: its questions, and their cost.

A stage module has `STAGE`, its declaration; `run(state)`, which leaves its finding in the state and in
the record; and `price(size)`, the stage's work, None if the settings leave it out. Stages do not import
each other: what several need is in the state, or in a module beside this folder.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from sae_audit.findings.stages import Stage
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.stages import (
    absence,
    activation_tokens,
    behaviour,
    candidates,
    cascade_nulls,
    cascades,
    confirmation,
    controls,
    direction,
    direction_check,
    edges,
    flip_scales,
    interactions,
    interactions_over_prompts,
    minimal_set_families,
    minimal_sets,
    null_search,
    pooled_cascade,
    pooled_set,
    sae_coverage,
    sae_quality,
    scores,
    search_null,
    successive_directions,
    sufficiency,
    widening,
)
from sae_audit.pipeline.state import AuditState


@runtime_checkable
class StageModule(Protocol):
    """A module of this folder."""

    @property
    def STAGE(self) -> Stage[object]: ...  # noqa: N802 (a constant of the module)
    @property
    def run(self) -> Callable[[AuditState], object]: ...
    @property
    def price(self) -> Callable[[AuditSize], Work | None]: ...


STAGES: tuple[StageModule, ...] = (
    scores,
    behaviour,
    absence,
    direction,
    direction_check,
    successive_directions,
    sae_quality,
    candidates,
    widening,
    minimal_sets,
    null_search,
    search_null,
    sae_coverage,
    minimal_set_families,
    flip_scales,
    pooled_set,
    interactions,
    interactions_over_prompts,
    cascades,
    cascade_nulls,
    edges,
    activation_tokens,
    pooled_cascade,
    controls,
    sufficiency,
    confirmation,
)
"""All stage modules, in the order in which a plan lists them."""
