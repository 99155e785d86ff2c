"""False alarms, as rows of the bench."""

from sae_audit.bench.cases import BenchProgress
from sae_audit.bench.false_alarms import false_alarms
from sae_audit.bench.results import AlarmRow


def alarm_rows(n: int, progress: BenchProgress) -> tuple[AlarmRow, ...]:
    """Shares of claimed mechanisms by kind of model; after the total the control, `n` audits by the same
    settings of a model with a mechanism."""
    found = false_alarms(n, 0, lambda done, total: progress("false alarms", done, total))
    rows = [
        AlarmRow(models=str(kind), has_mechanism=kind.has_mechanism, claimed=claimed)
        for kind, claimed in found.by_kind.items()
    ]
    return (
        *(row for row in rows if not row.has_mechanism),
        AlarmRow(models="all without a mechanism", has_mechanism=False, claimed=found.rate),
        *(row for row in rows if row.has_mechanism),
    )
