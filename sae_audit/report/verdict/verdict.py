"""The verdict of one audit, from its findings and no further than its claims go."""

from sae_audit.record.run import Run
from sae_audit.report.verdict.behaviour import refusal
from sae_audit.report.verdict.care import care, steps
from sae_audit.report.verdict.mechanism import important, mechanism
from sae_audit.report.verdict.standing import features_matter
from sae_audit.report.verdict.types import Part, Reading, Verdict


def verdict(run: Run) -> Verdict:
    """What the audit says in one reading.

    What the model does on its own decides first: if that fails, no mechanism makes up for it. Else the
    mechanism does, unless too few prompts were asked to know the first.
    """
    own = refusal(run)
    found = None if run.stopped_early else mechanism(run)
    parts = [own] if found is None else [own, found]
    return Verdict(
        reading=_reading(own, found),
        headline=_headline(own, found),
        sentences=tuple(said for part in parts for said in part.sentences),
        figures=tuple(figure for part in parts for figure in part.figures),
        care=care(run, tuple(figure.reading for figure in own.figures[:2])),
        steps=steps(run),
        important=important(run),
        features_matter=features_matter(run),
    )


def _reading(own: Part, found: Part | None) -> Reading:
    if found is None or own.reading is Reading.FAILS:
        return own.reading
    if found.reading is Reading.FINE:
        return own.reading
    return found.reading


def _headline(own: Part, found: Part | None) -> str:
    if found is None:
        return own.clause
    but = found.reading is Reading.LOOK and own.reading is not Reading.FAILS
    joined = ", but " if but else "; "
    return f"{own.clause}{joined}{found.clause}"
