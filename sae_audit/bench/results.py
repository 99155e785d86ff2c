"""What the bench measured: one row a method and model, summarised over models."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sae_audit.bench.cases import Case
from sae_audit.findings import Controlled, Estimate
from sae_audit.organisms.trained.measured import Rise
from sae_audit.record.layout import write_file
from sae_audit.statistics import mean

STAGES = ("candidates", "minimal sets", "interactions", "cascades")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one model, averaged over its prompts."""

    stage: str
    method: str
    case: Case
    measures: Mapping[str, float | None]
    """By name; None where the model has nothing that the measure could be of."""
    n_prompts: int
    n_sets_scored: float
    """Ablated sets scored a prompt."""
    seconds: float
    """A prompt."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One method over all models of a group."""

    stage: str
    group: str
    """`perfect SAE` or `imperfect SAE`, or a family."""
    method: str
    measures: Mapping[str, Estimate | None]
    """Means over models, with bootstrap intervals: prompts of one model are no independent cases."""
    n_sets_scored: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AlarmRow:
    """How often a mechanism is claimed of models of one kind."""

    models: str
    has_mechanism: bool
    """Whether there is one to claim: the control, without which never claiming any would be perfect."""
    claimed: Estimate
    """Share of audits, Wilson interval."""


@dataclass(frozen=True, kw_only=True)
class DialRow:
    """What an audit measures on an organism trained to refuse without its direction."""

    rounds: int
    """Rounds of such training."""
    seed: int
    """Of the training; the model without a round is the same for all."""
    measures: Mapping[str, Estimate]
    n_beyond: int
    """Prompts refused with all found directions out: where there are any, `directions` is a lower
    bound."""
    refused: Controlled
    """Share of prompts still refused with all found directions out; control: as many random ones."""


@dataclass(frozen=True, kw_only=True)
class DialTrend:
    """Whether a measure rises with the rounds, over the models of one seed."""

    measure: str
    seed: int
    rise: Rise


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """A whole run of the bench."""

    version: str
    command: str
    """Repeats it."""
    n_prompts: int
    rows: tuple[Row, ...]
    summaries: tuple[Summary, ...]
    """By kind of SAE."""
    families: tuple[Summary, ...]
    """By family."""
    false_alarms: tuple[AlarmRow, ...] = ()
    """Empty where they were not asked for."""
    dial: tuple[DialRow, ...] = ()
    """Empty where no trained organisms were named."""
    dial_trends: tuple[DialTrend, ...] = ()

    def write(self, path: Path) -> None:
        write_file(path, (json.dumps(asdict(self), indent=1) + "\n").encode())


def kind_of_sae(case: Case) -> str:
    return "imperfect SAE" if case.family == "imperfect" else "perfect SAE"


def summarised(rows: Sequence[Row], group_of: Callable[[Case], str]) -> tuple[Summary, ...]:
    """Rows of the same stage, group and method, in the order they came."""
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for stage in STAGES:
        for row in rows:
            if row.stage == stage:
                grouped.setdefault((stage, group_of(row.case), row.method), []).append(row)
    return tuple(
        Summary(
            stage=stage,
            group=group,
            method=method,
            measures={name: _mean(same, name) for name in same[0].measures},
            n_sets_scored=sum(row.n_sets_scored for row in same) / len(same),
            seconds=sum(row.seconds for row in same) / len(same),
        )
        for (stage, group, method), same in grouped.items()
    )


def _mean(rows: Sequence[Row], name: str) -> Estimate | None:
    values = [row.measures[name] for row in rows]
    known = [value for value in values if value is not None]
    return mean(known, seed=0) if known else None
