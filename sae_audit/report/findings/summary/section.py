"""The page's summary: every question with its answer, collected from all sections."""

from collections.abc import Mapping
from typing import Any

from sae_audit.pages.wording import absence_headline
from sae_audit.record.run import Run
from sae_audit.report.caveats import direction_caveats, sae_caveat
from sae_audit.report.flips import flips_said
from sae_audit.report.section import Section


def _values(run: Run) -> Mapping[str, Any]:
    return {
        "headline": absence_headline(run.absence.kind) if run.absence else "",
        "of_saes": sae_caveat(run),
        "of_direction": direction_caveats(run),
        "flips": flips_said(run) if run.minimal_sets else "",
    }


SECTION = Section(id="summary", title="Summary", values=_values)
