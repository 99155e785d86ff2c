"""What an audit found, in plain words: the head of the report, and the command's last table."""

from sae_audit.record.run import Run
from sae_audit.report.summary_behaviour import absence_rows, refusal_row
from sae_audit.report.summary_cascade import cascade_row, sufficiency_rows
from sae_audit.report.summary_depth import dose_rows, family_rows
from sae_audit.report.summary_direction import coverage_rows, direction_row, successive_rows
from sae_audit.report.summary_interactions import interactions_row
from sae_audit.report.summary_minimal import confirmation_rows, minimal_row, pooled_row
from sae_audit.report.summary_quality import collateral_row, dictionaries_row
from sae_audit.report.summary_row import SummaryRow


def summary(run: Run) -> list[SummaryRow]:
    """One row per question, each answer beside its control; where no mechanism is claimed, that first.
    An audit that stopped early has no rows of what it did not look for."""
    if run.stopped_early:
        return [*absence_rows(run), refusal_row(run), dictionaries_row(run)]
    return [
        *absence_rows(run),
        refusal_row(run),
        direction_row(run),
        *successive_rows(run),
        minimal_row(run),
        *family_rows(run),
        *dose_rows(run),
        *confirmation_rows(run),
        *coverage_rows(run),
        pooled_row(run),
        interactions_row(run),
        cascade_row(run),
        *sufficiency_rows(run),
        collateral_row(run),
        dictionaries_row(run),
    ]
