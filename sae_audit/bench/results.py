"""Results of the bench: one row per method and model, summarised over models."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sae_audit.bench.cases import Case
from sae_audit.findings import Controlled, Estimate
from sae_audit.organisms.trained.measured import Rise
from sae_audit.record.layout import write_file
from sae_audit.statistics import mean, mean_of_shares

_COUNTED = ("exact", "holds a dense feature")
"""Measures that are mostly 0 or 1 for each model; other shares are no counts."""
_OF_ANY_SIZE = ("depth error", "size of the pool")
STAGES = ("candidates", "minimal sets", "interactions", "cascades")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one model, averaged over its prompts."""

    stage: str
    method: str
    case: Case
    measures: Mapping[str, float | None]
    """By name; None if the measure is undefined for the model."""
    n_prompts: int
    n_sets_scored: float
    """Ablated sets scored per prompt."""
    seconds: float
    """Per prompt."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One method over all models of a group."""

    stage: str
    group: str
    """A kind of SAE (`kind_of_sae`), or a family."""
    method: str
    measures: Mapping[str, Estimate | None]
    """Means over models, with t intervals, as prompts of one model are not independent cases."""
    n_sets_scored: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AlarmRow:
    """Share of audits of one kind of model that claim a mechanism."""

    models: str
    has_mechanism: bool
    """Whether the model has a mechanism to claim, as the control does."""
    claimed: Estimate
    """Share of audits, Wilson interval."""


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """How often one claim stands on one kind of planted model."""

    claim: str
    """A `ClaimAbout`, or `lost refusal`."""
    models: str
    is_true: bool
    """Whether the claim is true of these models, so that one that stands is no false alarm."""
    stands: Estimate
    """Share of models, Wilson interval."""
    seconds: float
    """Mean of a model, all its claims together."""


@dataclass(frozen=True, kw_only=True)
class PowerRow:
    """How often a true claim stands, by the number of audited prompts of a label."""

    claim: str
    mechanism: str
    """What is planted, with its strength."""
    n_prompts: int
    stands: Estimate
    """Share of models, Wilson interval."""


@dataclass(frozen=True, kw_only=True)
class DialRow:
    """Measures of an audit of an organism trained to refuse without its direction."""

    rounds: int
    """Number of such training rounds."""
    seed: int
    """Seed of the training; all seeds share the model without rounds."""
    measures: Mapping[str, Estimate]
    n_beyond: int
    """Prompts refused with all found directions projected out; above 0, `directions` is a lower
    bound."""
    refused: Controlled
    """Share of prompts still refused with all found directions, or as many random ones, projected
    out."""


@dataclass(frozen=True, kw_only=True)
class DialTrend:
    """Trend of a measure with the number of rounds, over one seed's models."""

    measure: str
    seed: int
    rise: Rise


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """A whole run of the bench."""

    version: str
    command: str
    """Command that repeats the run."""
    n_prompts: int
    rows: tuple[Row, ...]
    summaries: tuple[Summary, ...]
    """Summaries by kind of SAE."""
    families: tuple[Summary, ...]
    """Summaries by family."""
    false_alarms: tuple[AlarmRow, ...] = ()
    """Empty if not requested."""
    hostile: tuple[ClaimRow, ...] = ()
    """Empty if not requested; by claim, false ones first."""
    power: tuple[PowerRow, ...] = ()
    """Empty if not requested."""
    dial: tuple[DialRow, ...] = ()
    """Empty if no trained organisms were given."""
    dial_trends: tuple[DialTrend, ...] = ()

    def write(self, path: Path) -> None:
        write_file(path, (json.dumps(asdict(self), indent=1) + "\n").encode())


def kind_of_sae(case: Case) -> str:
    """What the SAE shows of the mechanism, or of what else the model rests on."""
    return {"imperfect": "imperfect SAE", "dense": "dense features"}.get(case.family, "perfect SAE")


def summarised(rows: Sequence[Row], group_of: Callable[[Case], str]) -> tuple[Summary, ...]:
    """Summaries of rows of the same stage, group and method, in order of appearance."""
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
    if not known:
        return None
    if name in _COUNTED:
        return mean_of_shares(known)
    return mean(known) if name in _OF_ANY_SIZE else mean(known, within=(0.0, 1.0))
