"""What may be said of the minimal sets: the one place that the words of the first screen ask."""

from enum import StrEnum

from sae_audit.findings import AbsenceKind, ClaimAbout, Estimate, explaining_nothing
from sae_audit.record.run import Run
from sae_audit.report.power import would_be_seen
from sae_audit.report.verdict.behaviour import claim, stands
from sae_audit.report.verdict.types import MOST_HARMLESS
from sae_audit.statistics import share


class About(StrEnum):
    """What the minimal sets of an audit were shown to be about."""

    FEATURES = "features"
    """Features of these SAEs hold the refusal."""
    DIRECTION = "direction"
    """The refusal direction does; that it is about features was not shown."""
    NOTHING = "nothing"
    """What was switched off, and what happened then, is all that is known."""


def about(run: Run) -> About:
    """The most that the audit's claims allow."""
    beyond = run.absence is None or run.absence.kind is not AbsenceKind.NOT_BEYOND_NULL
    if not beyond or explains_nothing(run):
        return About.NOTHING
    if stands(run, ClaimAbout.FEATURES):
        return About.FEATURES
    return About.DIRECTION if stands(run, ClaimAbout.DIRECTION) else About.NOTHING


def features_matter(run: Run) -> bool:
    """Whether features were shown to hold refusals, and more than hardly any ended without them."""
    found = ended(run)
    return about(run) is About.FEATURES and found is not None and found.low > MOST_HARMLESS


def ended(run: Run) -> Estimate | None:
    """Share of refusals that their minimal sets end: in text if answers were read, else by score; None
    if there is no refusal."""
    read = run.confirmation
    if read is not None and read.of_flips:
        return share(read.n_flipped_in_text, read.n_refused)
    sets = run.minimal_sets
    return share(sum(one.flipped for one in sets), len(sets)) if sets else None


def is_read(run: Run) -> bool:
    """Whether answers under ablation were read."""
    return run.confirmation is not None and bool(run.confirmation.of_flips)


def explains_nothing(run: Run) -> bool:
    """Whether the SAEs that the sets come from explain nothing of this model."""
    used = {feature.layer for one in run.minimal_sets for feature in one.features}
    return bool(explaining_nothing(run.quality, used))


def why_not_features(run: Run) -> str:
    """Why the claim about features does not stand, as a clause."""
    of, null, pools = claim(run, ClaimAbout.FEATURES), run.dictionary_null, run.search_null
    if of is None or not of.n or null is None:
        return "the audit did not test it against SAEs that learned nothing"
    if not null.stands:
        return "SAEs that learned nothing of this model were not shown to do worse"
    if pools is not None and pools.p_value > run.config.evidence.level:
        return "random features of the same SAEs did as well"
    return "too few SAEs that learned nothing were tried"


def seen_if_true(run: Run, what: ClaimAbout) -> str:
    """What an audit of as many prompts would have missed, as a sentence; empty if that claim stands, was
    not tested, or has no measured power."""
    found = claim(run, what)
    # That no second direction was found is no untested claim: it was looked for.
    behind = what is ClaimAbout.DIRECTIONS_BEHIND and run.successive_directions is not None
    if found is None or found.stands or not (found.n or behind):
        return ""
    said = would_be_seen(what, run.findings.prompts.harmful)
    return f"{said[0].upper()}{said[1:]}." if said else ""
