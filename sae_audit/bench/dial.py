"""The redundancy dial: audits of organisms trained to refuse without their direction."""

from collections.abc import Sequence
from pathlib import Path

from sae_audit.bench.cases import BenchProgress
from sae_audit.bench.results import DialRow, DialTrend
from sae_audit.bundled import PREFIX
from sae_audit.config import (
    AuditConfig,
    InteractionSettings,
    MinimalSettings,
    PromptSettings,
)
from sae_audit.errors import AuditError
from sae_audit.findings import Estimate
from sae_audit.organisms.trained.measured import Redundancy, redundancy, rises
from sae_audit.organisms.trained.recipes import DIAL_ROUNDS, dial_name
from sae_audit.pipeline.audit import audit


def dial_rows(trained: Path, out: Path, progress: BenchProgress) -> tuple[DialRow, ...]:
    """One row per seed and setting of the dial in a folder made by `sae_audit.organisms.trained`;
    `dial_0` counts as a setting of each seed.

    Runs are kept in `out`; finished ones are read back.

    Raises:
        AuditError: the folder lacks a setting.
    """
    settings = _settings(trained)
    measured: dict[str, Redundancy] = {}
    for seed, rounds in settings:
        name = dial_name(rounds, seed)
        progress(name, len(measured), len(settings))
        if name not in measured:
            measured[name] = redundancy(audit(_config(trained / name), out / name))
    progress("dial", len(settings), len(settings))
    return tuple(_row(seed, rounds, measured[dial_name(rounds, seed)]) for seed, rounds in settings)


def _row(seed: int, rounds: int, found: Redundancy) -> DialRow:
    return DialRow(
        rounds=rounds,
        seed=seed,
        measures=_measures(found),
        n_beyond=found.beyond_directions,
        refused=found.refused_beyond,
    )


def dial_trends(rows: Sequence[DialRow]) -> tuple[DialTrend, ...]:
    """The trend of each measure over the settings of each seed."""
    trends: list[DialTrend] = []
    for seed in dict.fromkeys(row.seed for row in rows):
        own = [row for row in rows if row.seed == seed]
        for measure in own[0].measures:
            rise = rises([r.rounds for r in own], [r.measures[measure] for r in own])
            trends.append(DialTrend(measure=measure, seed=seed, rise=rise))
    return tuple(trends)


def _settings(trained: Path) -> list[tuple[int, int]]:
    """Pairs of seed and rounds; the seeds found are consecutive."""
    seeds = [0]
    while (trained / dial_name(1, len(seeds)) / "card.json").is_file():
        seeds.append(len(seeds))
    settings = [(seed, rounds) for seed in seeds for rounds in DIAL_ROUNDS]
    for seed, rounds in settings:
        folder = trained / dial_name(rounds, seed)
        if not (folder / "card.json").is_file():
            raise AuditError(
                f"{folder} holds no trained organism; make them: python -m "
                f"sae_audit.organisms.trained make {trained} --seeds {len(seeds)}"
            )
    return settings


def _measures(found: Redundancy) -> dict[str, Estimate]:
    return {
        "directions": found.directions,
        "waves": found.depth,
        "waves of the minimal set": found.depth_of_minimal,
        "size of the minimal set": found.minimal_size,
        "flipped": found.flipped,
    }


def _config(folder: Path) -> AuditConfig:
    return AuditConfig(
        model=str(folder / "model"),
        saes=str(folder / "saes"),
        prompts=PromptSettings(sources=(f"{PREFIX}organism/prompts.jsonl",)),
        refusal_tokens=("I", "Sorry"),
        # A backup induces little while earlier directions are projected out (scores of -0.4 to 0
        # nats, from -10). Stages that do not measure the dial are kept short.
        minimal=MinimalSettings(more_sets_budget=0),
        interactions=InteractionSettings(n_masks=64, max_players=4),
    )
