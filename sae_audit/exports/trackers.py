"""The numbers of a run in an experiment tracker, MLflow or Weights & Biases, with findings.json beside.

Where they go is set as the tracker's own programs set it (`MLFLOW_TRACKING_URI`, `WANDB_MODE`,
`WANDB_PROJECT`); no prompt's text is among what is sent.
"""

from typing import Any

from sae_audit.errors import AuditError
from sae_audit.exports.numbers import numbers
from sae_audit.record.layout import FINDINGS
from sae_audit.record.run import Run

_LONGEST = 500
"""Characters of a parameter's value, the least that trackers allow."""


def to_mlflow(run: Run, experiment: str) -> str:
    """The id of the new MLflow run in the experiment.

    Raises:
        AuditError: MLflow is not installed, or refuses.
    """
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise AuditError("This needs MLflow: pip install 'sae-audit[mlflow]'.") from error
    try:
        mlflow.set_experiment(experiment)
        with mlflow.start_run(run_name=run.manifest.model.id) as made:
            mlflow.log_params(_parameters(run))
            mlflow.log_metrics(numbers(run))
            mlflow.log_artifact(str(run.folder / FINDINGS))
            return made.info.run_id
    except MlflowException as error:
        raise AuditError(f"MLflow refuses: {error}; check MLFLOW_TRACKING_URI.") from error


def to_wandb(run: Run, project: str) -> str:
    """The id of the new W&B run in the project.

    Raises:
        AuditError: W&B is not installed, or refuses.
    """
    try:
        import wandb
        from wandb.errors import Error
    except ImportError as error:
        raise AuditError("This needs W&B: pip install 'sae-audit[wandb]'.") from error
    try:
        made = wandb.init(project=project, name=run.manifest.model.id, config=_parameters(run))
        made.log(numbers(run))
        made.save(str(run.folder / FINDINGS), base_path=str(run.folder), policy="now")
        made.finish()
    except Error as error:
        raise AuditError(f"W&B refuses: {error}; WANDB_MODE=offline sends nothing.") from error
    return str(made.id)


def _parameters(run: Run) -> dict[str, Any]:
    manifest = run.manifest
    values = {
        "model": manifest.model.id,
        "model_sha256": manifest.model.sha256,
        "model_revision": manifest.model.revision,
        "saes": run.config.saes,
        "prompt_sources": ", ".join(source.source for source in manifest.prompt_sources),
        "audit_prompts": run.config.prompts.audit,
        "seed": manifest.seed,
        "readout": manifest.readout.kind,
        "sae_audit": manifest.sae_audit,
        "identity": manifest.identity,
    }
    return {name: str(value)[:_LONGEST] for name, value in values.items()}
