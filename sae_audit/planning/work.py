"""How much an audit does, stage by stage, in units that can be timed one by one.

Fixed stages are counted exactly as the stages ask. Searches and cascades depend on what they find:
there the numbers assume minimal sets of three features, two waves, and that two thirds of the sets
asked about change something, from half of the prompt on. They say so.
"""

from sae_audit.config import AuditConfig
from sae_audit.planning import work_assumed, work_fixed
from sae_audit.planning.facts import SubjectFacts
from sae_audit.planning.work_units import Scale, Work


def work_of(config: AuditConfig, facts: SubjectFacts) -> list[Work]:
    """The work of every stage of an audit, in order."""
    scale = Scale(config, facts)
    stages = [
        work_fixed.scores(scale),
        work_assumed.direction(scale),
        work_fixed.direction_check(scale),
        work_assumed.successive_directions(scale),
        work_fixed.sae_quality(scale),
        work_fixed.candidates(scale),
        work_assumed.widening(scale),
        work_assumed.minimal_sets(scale),
        work_assumed.search_by_chance(scale),
        work_fixed.dictionary_coverage(scale),
        *work_assumed.families(scale),
        *work_assumed.doses(scale),
        work_assumed.pooled_set(scale),
        work_assumed.interactions(scale),
        work_assumed.cascades(scale),
        work_assumed.cascades_by_chance(scale),
        work_assumed.edges(scale),
        work_assumed.waking(scale),
        Work(stage="pooled_cascade", forward_passes=0),
        work_fixed.controls(scale),
        work_fixed.sufficiency(scale),
    ]
    return stages + ([work_fixed.confirmation(scale)] if config.confirm == "text" else [])
