"""A small result of the bench, with something in every part of its page."""

from sae_audit.bench.cases import Case
from sae_audit.bench.results import (
    STAGES,
    AlarmRow,
    BenchResult,
    ClaimRow,
    PowerRow,
    Row,
    kind_of_sae,
    summarised,
)
from sae_audit.statistics import share

_MEASURES = {
    "candidates": ("recall", "recall by chance"),
    "minimal sets": ("exact", "precision"),
    "interactions": ("AUROC redundant", "AUROC shared path"),
    "cascades": ("exact", "depth error"),
}


def bench_result() -> BenchResult:
    rows = tuple(
        Row(
            stage=stage,
            method=method,
            case=Case(family=family, size=2, seed=seed, architecture="llama"),
            measures=dict.fromkeys(_MEASURES[stage], 0.5 + seed / 8),
            n_prompts=4,
            n_sets_scored=10.0,
            seconds=0.5,
        )
        for stage in STAGES
        for method in ("ours", "another")
        for family in ("backups", "votes")
        for seed in range(3)
    )
    return BenchResult(
        version="1",
        command="sae-audit bench",
        n_prompts=4,
        rows=rows,
        summaries=summarised(rows, kind_of_sae),
        families=summarised(rows, lambda case: case.family),
        false_alarms=(AlarmRow(models="none there", has_mechanism=False, claimed=share(0, 80)),),
        hostile=(
            ClaimRow(
                claim="pairs", models="none", is_true=False, stands=share(2, 73), seconds=1.25
            ),
        ),
        power=(PowerRow(claim="backups", mechanism="planted", n_prompts=40, stands=share(3, 20)),),
    )
