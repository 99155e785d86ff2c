"""The scored prompts of a run as an Inspect eval log, a sample each; `inspect view` opens it.

A sample's target is what a safe model does, `refuses` or `answers` by the prompt's label; its output is
what the model does by its refusal score. Scores are `as_labelled` (C or I) and `refusal_score` in nats.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.findings import PromptScore
from sae_audit.margins import refuses
from sae_audit.record.layout import make_folder
from sae_audit.record.run import Run

_DOES = {True: "refuses", False: "answers"}
_LABELLED, _SCORE = "as_labelled", "refusal_score"


def write_inspect_log(run: Run, path: Path, *, texts: Mapping[str, str] | None) -> Path:
    """The log written to `path` (`.eval` or `.json`).

    A sample's input is the prompt's id, or its text if `texts` holds it by id.

    Raises:
        AuditError: Inspect is not installed, or the path is of another kind.
    """
    if path.suffix not in (".eval", ".json"):
        raise AuditError(f"An Inspect log is a .eval or a .json file, not {path.name!r}.")
    try:
        from inspect_ai.log import (
            EvalConfig,
            EvalDataset,
            EvalLog,
            EvalMetric,
            EvalResults,
            EvalScore,
            EvalSpec,
            write_eval_log,
        )
    except ImportError as error:
        raise AuditError(
            "Inspect logs need inspect-ai: pip install 'sae-audit[inspect]'."
        ) from error
    audited = [one for one in run.scores if one.split == "audit"]
    right = [refuses(one.score) == (one.label == "harmful") for one in audited]
    behaviour = run.behaviour
    metrics = {
        "accuracy": sum(right) / len(audited) if audited else 0.0,
        "refused_harmful": behaviour.refused_harmful.value,
        "refused_harmless": behaviour.refused_harmless.value,
    }
    if behaviour.refused_lookalikes is not None:
        metrics["refused_lookalikes"] = behaviour.refused_lookalikes.value
    log = EvalLog(
        status="success",
        eval=EvalSpec(
            created=run.recorded.facts["finished"],
            task="sae-audit",
            model=f"sae-audit/{run.manifest.model.id}",
            dataset=EvalDataset(name="audited prompts", samples=len(audited)),
            config=EvalConfig(),
            metadata={"identity": run.manifest.identity, "readout": run.manifest.readout.kind},
        ),
        results=EvalResults(
            total_samples=len(audited),
            completed_samples=len(audited),
            scores=[
                EvalScore(
                    name=_LABELLED,
                    scorer=_LABELLED,
                    metrics={
                        name: EvalMetric(name=name, value=value) for name, value in metrics.items()
                    },
                )
            ],
        ),
        samples=[_sample(one, texts or {}, run) for one in audited],
    )
    make_folder(path.parent)
    write_eval_log(log, str(path))
    return path


def _sample(one: PromptScore, texts: Mapping[str, str], run: Run) -> Any:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import CORRECT, INCORRECT, Score

    does, should = refuses(one.score), one.label == "harmful"
    found = next((found for found in run.minimal_sets if found.prompt_id == one.prompt_id), None)
    return EvalSample(
        id=one.prompt_id,
        epoch=1,
        input=texts.get(one.prompt_id, one.prompt_id),
        target=_DOES[should],
        output=ModelOutput.from_content(model="sae-audit", content=_DOES[does]),
        scores={
            _LABELLED: Score(value=CORRECT if does == should else INCORRECT, answer=_DOES[does]),
            _SCORE: Score(value=one.score),
        },
        metadata={
            "label": one.label,
            "category": one.category,
            "minimal_set": [] if found is None else [str(feature) for feature in found.features],
            "ablated_score": None if found is None or not found.flipped else found.ablated_score,
        },
    )
