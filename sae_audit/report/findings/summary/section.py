"""The first screen: the verdict, its figures, what to read with care and what to do next."""

from collections.abc import Mapping
from typing import Any

from sae_audit.record.run import Run
from sae_audit.report.caveats import direction_caveats
from sae_audit.report.findings.summary.bars import bar
from sae_audit.report.section import Section
from sae_audit.report.verdict.types import LIMITS
from sae_audit.report.verdict.verdict import verdict


def _values(run: Run) -> Mapping[str, Any]:
    found = verdict(run)
    return {
        "verdict": found,
        "bars": {one.name: bar(one) for one in found.figures},
        "commands": [one for one in found.steps if not one.part],
        "parts": [one for one in found.steps if one.part],
        "limits": LIMITS,
        "of_direction": direction_caveats(run),
    }


SECTION = Section(id="summary", title="Verdict", values=_values)
