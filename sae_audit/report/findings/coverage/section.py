"""Share of the mechanism that the SAEs do not show."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.record.run import Run
from sae_audit.report.findings.coverage.figures import by_layer, conditions
from sae_audit.report.findings.coverage.rows import (
    coverage_control,
    coverage_sentence,
    layer_rows,
    share_rows,
)
from sae_audit.report.section import Figures, Part, Section, SummaryRow, unless_stopped_early


def _rows(run: Run) -> Sequence[SummaryRow]:
    found = run.sae_coverage
    if found is None:
        return []
    return [
        SummaryRow(
            question="How much of the mechanism do the SAEs not show?",
            answer=coverage_sentence(found),
            control=coverage_control(found),
            part=Part.EXTENT,
        )
    ]


def _values(run: Run) -> Mapping[str, Any]:
    found = run.sae_coverage
    return {
        "rows": share_rows(found) if found else [],
        "layers": layer_rows(found.layers) if found else [],
        "sentence": coverage_sentence(found) if found else "",
    }


def _figures(run: Run) -> Figures:
    found = run.sae_coverage
    if found is None:
        return {}
    return {"coverage_scores": conditions(found), "coverage_layers": by_layer(found.layers)}


SECTION = Section(
    id="coverage",
    title="Not in the SAEs",
    shown=unless_stopped_early,
    rows=_rows,
    values=_values,
    figures=_figures,
)
