"""The page's summary: every question with its answer, collected from all sections."""

from collections.abc import Mapping
from typing import Any

from sae_audit.pages.wording import ABSENCES
from sae_audit.record.run import Run
from sae_audit.report.section import Section


def _values(_run: Run) -> Mapping[str, Any]:
    return {"absences": ABSENCES}


SECTION = Section(id="summary", title="Summary", values=_values)
