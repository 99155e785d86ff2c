"""The stages of an audit, a file each: what it asks, and what it costs.

A stage module has `STAGE`, its declaration; `run(state)`, which leaves what it finds in the state and
in the record; and `price(scale)`, None if the settings leave it out. Stages know nothing of each
other: what several need is in the state, or in a module beside this folder.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from sae_audit.findings.stages import Stage
from sae_audit.pipeline.pricing import Scale, Work
from sae_audit.pipeline.stages import (
    absence,
    behaviour,
    candidates,
    cascades,
    cascades_by_chance,
    chance_control,
    confirmation,
    controls,
    dictionary_coverage,
    direction,
    direction_check,
    doses,
    edges,
    interactions,
    interactions_over_prompts,
    minimal_set_families,
    minimal_sets,
    pooled_cascade,
    pooled_set,
    sae_quality,
    scores,
    search_by_chance,
    successive_directions,
    sufficiency,
    waking,
    widening,
)
from sae_audit.pipeline.state import AuditState


@runtime_checkable
class StageModule(Protocol):
    """A file of this folder."""

    @property
    def STAGE(self) -> Stage[object]: ...  # noqa: N802 (a constant of the module)
    @property
    def run(self) -> Callable[[AuditState], object]: ...
    @property
    def price(self) -> Callable[[Scale], Work | None]: ...


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
    search_by_chance,
    chance_control,
    dictionary_coverage,
    minimal_set_families,
    doses,
    pooled_set,
    interactions,
    interactions_over_prompts,
    cascades,
    cascades_by_chance,
    edges,
    waking,
    pooled_cascade,
    controls,
    sufficiency,
    confirmation,
)
"""All of them, in the order that a plan lists them in."""
