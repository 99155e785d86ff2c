"""How much an audit does, stage by stage, in units that can be timed one by one.

Fixed stages are counted exactly as the stages ask. Searches and cascades depend on what they find:
there the numbers assume minimal sets of three features, two waves, and that two thirds of the sets
asked about change something, from half of the prompt on. They say so.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sae_audit.config import AuditConfig
from sae_audit.findings import stages
from sae_audit.planning import work_assumed, work_fixed
from sae_audit.planning.facts import SubjectFacts
from sae_audit.planning.work_units import Scale, Work

PRICES: Mapping[stages.Stage[Any], Callable[[Scale], Work | None]] = {
    stages.SCORES: work_fixed.scores,
    stages.BEHAVIOUR: work_fixed.nothing,
    stages.ABSENCE: work_fixed.not_planned,
    stages.DIRECTION: work_assumed.direction,
    stages.DIRECTION_CHECK: work_fixed.direction_check,
    stages.SUCCESSIVE_DIRECTIONS: work_assumed.successive_directions,
    stages.SAE_QUALITY: work_fixed.sae_quality,
    stages.CANDIDATES: work_fixed.candidates,
    stages.WIDENING: work_assumed.widening,
    stages.MINIMAL_SETS: work_assumed.minimal_sets,
    stages.SEARCH_BY_CHANCE: work_assumed.search_by_chance,
    stages.CHANCE_CONTROL: work_fixed.nothing,
    stages.DICTIONARY_COVERAGE: work_fixed.dictionary_coverage,
    stages.MINIMAL_SET_FAMILIES: work_assumed.minimal_set_families,
    stages.DOSES: work_assumed.doses,
    stages.POOLED_SET: work_assumed.pooled_set,
    stages.INTERACTIONS: work_assumed.interactions,
    stages.INTERACTIONS_OVER_PROMPTS: work_fixed.nothing,
    stages.CASCADES: work_assumed.cascades,
    stages.CASCADES_BY_CHANCE: work_assumed.cascades_by_chance,
    stages.EDGES: work_assumed.edges,
    stages.WAKING: work_assumed.waking,
    stages.POOLED_CASCADE: work_fixed.nothing,
    stages.CONTROLS: work_fixed.controls,
    stages.SUFFICIENCY: work_fixed.sufficiency,
    stages.CONFIRMATION: work_fixed.confirmation,
}
"""What each stage costs, in order; None where the settings leave it out."""


def work_of(config: AuditConfig, facts: SubjectFacts) -> dict[stages.Stage[Any], Work]:
    """The work of every stage of an audit, in order."""
    scale = Scale(config, facts)
    priced = {stage: price(scale) for stage, price in PRICES.items()}
    return {stage: work for stage, work in priced.items() if work is not None}
