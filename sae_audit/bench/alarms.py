"""False alarms, as the bench prints them."""

from sae_audit.bench.cases import Told
from sae_audit.bench.false_alarms import false_alarms
from sae_audit.bench.results import AlarmRow


def alarm_rows(n: int, told: Told) -> tuple[AlarmRow, ...]:
    """Audits of `n` models of each kind without a mechanism, and how often one is claimed."""
    found = false_alarms(n, 0, lambda done, total: told("models without a mechanism", done, total))
    rows = [AlarmRow(models=str(kind), claimed=rate) for kind, rate in found.by_kind.items()]
    return (*rows, AlarmRow(models="all", claimed=found.rate))
