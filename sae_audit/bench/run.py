"""The bench: methods x planted models, every answer compared with the truth."""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import numpy as np

from sae_audit.bench import cascade_methods
from sae_audit.bench.cases import BenchProgress, Case, PlantedAudit, planted_audit
from sae_audit.bench.measures import SetMatch, nearest, waves_match
from sae_audit.bench.minimal_methods import Answer, candidate_pools, methods
from sae_audit.bench.pairs import pair_rows
from sae_audit.bench.results import BenchResult, Row, kind_of_sae, summarised
from sae_audit.bench.stored import StoredRows
from sae_audit.pipeline.stages import (
    candidate_effects,
    minimal_sets,
    set_effects,
    unlimited_sets,
)
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureSet


def bench(
    cases: Sequence[Case],
    *,
    n_prompts: int,
    command: str,
    stored: StoredRows,
    progress: BenchProgress,
) -> BenchResult:
    """Result of every method on every case, as `command` does; rows in `stored` are reused."""
    rows: list[Row] = []
    for i, case in enumerate(cases):
        progress(str(case), i, len(cases))
        rows += stored.remembered(case, lambda case=case: case_rows(case, n_prompts=n_prompts))
    progress("done", len(cases), len(cases))
    return BenchResult(
        version=version("sae-audit"),
        command=command,
        n_prompts=n_prompts,
        rows=tuple(rows),
        summaries=summarised(rows, kind_of_sae),
        families=summarised(rows, lambda case: case.family),
    )


def case_rows(case: Case, *, n_prompts: int) -> list[Row]:
    """Rows of every method on one planted model."""
    with planted_audit(case, n_prompts=n_prompts) as audit:
        rows = candidate_rows(audit)
        if all(truth.listed for truth in audit.planted.truth.by_category.values()):
            rows += minimal_rows(audit)
            rows += cascade_rows(audit)
        return rows + pair_rows(audit)


def candidate_rows(audit: PlantedAudit) -> list[Row]:
    """Recall of causal features by each method, and that of as many features drawn from all."""
    causal = set(audit.planted.truth.causal)
    n_features = sum(saes.d_sae for saes in audit.state.subject.suite.values())
    rows: list[Row] = []
    for method, pool in candidate_pools(audit).items():
        gathered = {candidate.feature for candidate in pool.candidates}
        rows.append(
            Row(
                stage="candidates",
                method=method,
                case=audit.case,
                measures={
                    "recall": len(causal & gathered) / len(causal),
                    "recall by chance": len(gathered) / n_features,
                    "size of the pool": float(len(gathered)),
                },
                n_prompts=len(audit.state.prompts.train.harmful),
                n_sets_scored=0.0,
                seconds=0.0,
            )
        )
    return rows


def minimal_rows(audit: PlantedAudit) -> list[Row]:
    """Found sets compared with the true ones, by method."""
    return [
        _row(
            audit, "minimal sets", name, lambda prompt, find=find: _judged_set(audit, prompt, find)
        )
        for name, find in methods(audit).items()
    ]


def _judged_set(
    audit: PlantedAudit, prompt: Prompt, find: Callable[..., Answer]
) -> tuple[dict, int]:
    # Each method gets a score function without the others' remembered answers.
    answer = find(prompt, audit.state.score_of(prompt))
    match = _match(audit, prompt, answer.features)
    measures = {
        "exact": float(match.exact),
        "precision": match.precision,
        "recall": match.recall,
        "flipped": float(bool(answer.features)),
    }
    dense = audit.planted.truth.dense
    if dense:
        # Such a set breaks the model rather than its refusal.
        measures["holds a dense feature"] = float(bool(answer.features & set(dense)))
    return measures, answer.n_sets_scored


def _match(audit: PlantedAudit, prompt: Prompt, found: FeatureSet) -> SetMatch:
    return nearest(found, [frozenset(one) for one in audit.truth(prompt).minimal_sets])


def cascade_rows(audit: PlantedAudit) -> list[Row]:
    """Waves of the audit's minimal set compared with the true waves of that set."""
    for stage in (unlimited_sets, candidate_effects, set_effects, minimal_sets):
        stage.run(audit.state)
    by_id = {one.prompt_id: one for one in audit.state.minimal_sets}

    def judged(prompt: Prompt, method: cascade_methods.CascadeMethod) -> tuple[dict, int]:
        minimal = by_id[prompt.id]
        true = cascade_methods.true_waves(audit, prompt, minimal)
        if true is None:
            # A wrong set has no right waves: all count as wrong.
            return {"exact": 0.0, "depth error": None, "wave F1": 0.0}, 0
        answer = method(audit, prompt, minimal)
        match = waves_match(answer.waves, true)
        measures = {
            "exact": float(match.exact),
            "depth error": float(abs(match.depth_error)),
            "wave F1": match.f1,
        }
        return measures, answer.n_sets_scored

    return [
        _row(audit, "cascades", name, lambda prompt, method=method: judged(prompt, method))
        for name, method in cascade_methods.METHODS.items()
    ]


Judged = Callable[[Prompt], tuple[Mapping[str, float | None], int]]


def _row(audit: PlantedAudit, stage: str, method: str, judge: Judged) -> Row:
    started = time.perf_counter()
    judged = [judge(prompt) for prompt in audit.state.audited.harmful]
    seconds = (time.perf_counter() - started) / len(judged)
    names = judged[0][0]
    return Row(
        stage=stage,
        method=method,
        case=audit.case,
        measures={name: _mean([one[name] for one, _ in judged]) for name in names},
        n_prompts=len(judged),
        n_sets_scored=float(np.mean([n for _, n in judged])),
        seconds=seconds,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
