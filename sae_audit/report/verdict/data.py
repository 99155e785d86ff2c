"""The first screen as JSON data: numbers and names, no sentences."""

from pydantic import TypeAdapter

from sae_audit.findings import Estimate
from sae_audit.record.run import Run
from sae_audit.report.verdict.types import LIMITS_BY_NAME, Figure
from sae_audit.report.verdict.verdict import verdict

_ESTIMATE = TypeAdapter(Estimate)


def as_data(run: Run) -> dict[str, object]:
    """The run's reading, figures, limits and most important features, by names that stay
    (docs/compatibility.md)."""
    found = verdict(run)
    return {
        "model": run.manifest.model.id,
        "finished": run.manifest.finished,
        "reading": found.reading.value,
        "absent": None if run.absence is None else run.absence.kind.value,
        "figures": {figure.id.value: _figure(figure) for figure in found.figures},
        "limits": LIMITS_BY_NAME,
        "important": [
            {"feature": one.feature, "n_prompts": one.n_prompts} for one in found.important
        ],
    }


def _figure(figure: Figure) -> dict[str, object]:
    estimate = figure.estimate
    return {
        "reading": figure.reading.value,
        "estimate": None if estimate is None else _ESTIMATE.dump_python(estimate, mode="json"),
    }
