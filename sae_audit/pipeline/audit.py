"""One audit, start to end. Read this first.

Every stage is a file in `stages`: it reads earlier findings, and leaves its own, in state and record.
"""

from pathlib import Path

from sae_audit.config import AuditConfig
from sae_audit.findings.stages import REPORT, Step
from sae_audit.pipeline.running import default_folder, running
from sae_audit.pipeline.session import Progress, silent
from sae_audit.pipeline.stages import (
    absence,
    activation_tokens,
    behaviour,
    candidate_effects,
    candidates,
    cascade_nulls,
    cascades,
    categories,
    claims,
    coactivation_fm,
    confirmation,
    controls,
    dictionary_null,
    direction,
    direction_check,
    edges,
    feature_profiles,
    filter_curve,
    flip_scales,
    interactions,
    interactions_over_prompts,
    layer_patching,
    minimal_set_families,
    minimal_sets,
    null_dictionaries,
    null_search,
    own_flips_in_text,
    pooled_cascade,
    pooled_set,
    restorations,
    sae_coverage,
    sae_quality,
    scores,
    search_null,
    set_effects,
    successive_directions,
    sufficiency,
    text_sets,
    unlimited_sets,
    widening,
)
from sae_audit.pipeline.state import AuditState
from sae_audit.record.run import Run, load_run

STEPS: tuple[Step, ...] = (
    scores.STAGE,
    behaviour.STAGE,
    sae_quality.STAGE,
    absence.STAGE,
    direction.STAGE,
    candidates.STAGE,
    widening.STAGE,
    candidate_effects.STAGE,
    unlimited_sets.STAGE,
    set_effects.STAGE,
    minimal_sets.STAGE,
    null_search.STAGE,
    search_null.STAGE,
    text_sets.STAGE,
    own_flips_in_text.STAGE,
    null_dictionaries.STAGE,
    dictionary_null.STAGE,
    layer_patching.STAGE,
    direction_check.STAGE,
    successive_directions.STAGE,
    categories.STAGE,
    sae_coverage.STAGE,
    minimal_set_families.STAGE,
    flip_scales.STAGE,
    pooled_set.STAGE,
    filter_curve.STAGE,
    coactivation_fm.STAGE,
    interactions.STAGE,
    interactions_over_prompts.STAGE,
    cascades.STAGE,
    cascade_nulls.STAGE,
    edges.STAGE,
    activation_tokens.STAGE,
    restorations.STAGE,
    pooled_cascade.STAGE,
    controls.STAGE,
    sufficiency.STAGE,
    confirmation.STAGE,
    feature_profiles.STAGE,
    claims.STAGE,
    REPORT,
)
"""What an audit goes through, in this order; which of them one audit has depends on its settings and on
what it finds."""


def audit(
    config: AuditConfig,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Run:
    """The record of an audit of refusal in one checkpoint, in the folder `out` (default
    `reports/NAME`).

    An interrupted run resumes where it stopped; a finished one is read back. With `overwrite` another
    run in the folder is replaced once the new one is finished. A model without a refusal mechanism
    gives a finished run too: `Run.absence` says why there is none.

    Raises:
        AuditError: bad input; what was recorded until then stays, if anything.
        AuditIncompleteError: interrupted or failed inside; what was done so far is kept.
    """
    target = Path(out) if out is not None else default_folder(config)
    with running(config, target, overwrite=overwrite, progress=progress) as state:
        if state is not None:
            carry_out(state)
    return load_run(target)


def carry_out(state: AuditState) -> None:
    """Run every stage in turn, each reading the findings of those before it."""
    if not search_for_sets(state):
        claims.run(state)
        return
    text_sets.run(state)  # Which sets flip the answers' text, none to spare?
    own_flips_in_text.run(state)
    null_dictionaries.run(state)  # Would SAEs that know nothing of the model?
    dictionary_null.run(state)
    layer_patching.run(state)  # In which layers does refusal reach the end of the prompt?
    direction_check.run(state)  # Does the direction hold on prompts it was not chosen on?
    successive_directions.run(state)  # Is there another one behind it?
    categories.run(state)  # Is it the same for every kind of refused request?
    sae_coverage.run(state)  # How much of it do the SAEs miss?
    minimal_set_families.run(state)  # How many other sets would do?
    flip_scales.run(state)  # How far must they be ablated?
    pooled_set.run(state)  # Is there one set for many prompts?
    filter_curve.run(state)  # How many of the filtered features does it take?
    coactivation_fm.run(state)  # Do features that co-activate with them matter too?
    interactions.run(state)  # Which features stand in for each other?
    interactions_over_prompts.run(state)
    cascades.run(state)  # Which activate when these are gone?
    cascade_nulls.run(state)
    edges.run(state)  # Through whom, and on which tokens?
    activation_tokens.run(state)
    restorations.run(state)  # Do they restore refusal, more than others do?
    pooled_cascade.run(state)
    controls.run(state)  # What do other sets do, and to harmless prompts?
    sufficiency.run(state)  # Set up on harmless prompts, do they bring refusal?
    confirmation.run(state)  # Do flips show in the answers' text?
    feature_profiles.run(state)  # What does each feature named so far do by itself?
    claims.run(state)  # What of all this stands?


def search_for_sets(state: AuditState) -> bool:
    """Run the stages up to minimal sets and their null; whether there is a mechanism to go on with."""
    scores.run(state)  # How does the model treat each prompt?
    behaviour.run(state)  # Does it tell harmful from harmless?
    sae_quality.run(state)  # Do the SAEs describe it?
    if absence.run(state):
        return False
    direction.run(state)  # Which direction does refusal run along?
    if absence.run(state):
        return False
    candidates.run(state)  # Which features are near it?
    widening.run(state)  # And which cover for those?
    candidate_effects.run(state)  # What do they do on harmless prompts?
    unlimited_sets.run(state)  # Which of them, ablated, flip each prompt, none to spare?
    set_effects.run(state)
    minimal_sets.run(state)  # And which without breaking the model?
    null_search.run(state)  # Would random features do as well?
    search_null.run(state)
    absence.run(state)  # If so, what follows is marked, and measured all the same.
    return True
