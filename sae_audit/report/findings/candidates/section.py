"""Candidate features, and their cosines with the direction."""

from sae_audit.record.run import Run
from sae_audit.report.findings.candidates.figures import cosines
from sae_audit.report.section import Figures, Section, unless_stopped_early


def _figures(run: Run) -> Figures:
    found = run.sae_coverage
    return {"cosines": cosines(run.candidates, found.layers if found else ())}


SECTION = Section(id="candidates", title="Candidates", shown=unless_stopped_early, figures=_figures)
