"""Which directions were tried, and which filter discarded each."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from sae_audit.config import DirectionSettings
from sae_audit.findings import Direction, DirectionEvaluation, NoDirection
from sae_audit.record.run import Run


@dataclass(frozen=True, kw_only=True)
class JudgedDirection:
    """One candidate direction and the filters it fails (2406.11717, appendix C)."""

    evaluation: DirectionEvaluation
    failed: tuple[str, ...]

    @property
    def discarded(self) -> bool:
        return bool(self.failed)


def tried_directions(run: Run) -> Direction | NoDirection | None:
    """The directions that were tried, with the one chosen or without; None where none was tried."""
    return run.discarded_directions if run.stopped_early else run.direction


def judged_directions(
    evaluations: Sequence[DirectionEvaluation], settings: DirectionSettings, n_layers: int
) -> list[JudgedDirection]:
    """Every evaluation with the names of the filters it fails, in the order of the record."""
    first_cut = int(round((1.0 - settings.layer_cut) * n_layers, 9))
    judged: list[JudgedDirection] = []
    for found in evaluations:
        tests = {
            "not finite": not all(map(isfinite, (found.bypass, found.induce, found.kl))),
            "in the last layers": found.layer >= first_cut,
            "with too large a KL": found.kl > settings.kl_limit,
            "not inducing": found.induce < settings.induce_floor,
        }
        failed = tuple(name for name, fails in tests.items() if fails)
        judged.append(JudgedDirection(evaluation=found, failed=failed))
    return judged
