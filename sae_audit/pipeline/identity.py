"""The identity of an audit: the settings, and a hash of every file that was read."""

from pathlib import Path
from typing import Any

from sae_audit.bundled import resolve
from sae_audit.direction.registry import methods_identity
from sae_audit.hashing import sha256_of_files
from sae_audit.pipeline.inputs import Inputs
from sae_audit.prompts.taxonomy import taxonomy_file
from sae_audit.record import environment
from sae_audit.record.identity import RunIdentity, run_identity


def identity_of(inputs: Inputs) -> RunIdentity:
    """Everything that decides an audit's numbers; a run resumes another of the same identity."""
    config, subject = inputs.config, inputs.subject
    hashes: dict[str, Any] = {
        "model weights": subject.identity.sha256,
        "model files": subject.identity.settings_sha256,
        "SAE weights": [one.sha256 for one in subject.suite.values()],
        "SAE configs": [
            one.settings_sha256 + sha256_of_files(_sae_configs(config.saes, one.id))
            for one in subject.suite.values()
        ],
        "null SAEs": [
            [one.sha256, one.settings_sha256 + sha256_of_files(_sae_configs(asked.saes, one.id))]
            for asked, suite in zip(config.evidence.null_saes, inputs.null_saes, strict=True)
            for one in suite.values()
        ],
        "prompts": [source.sha256 for source in inputs.sources],
        "chat template file": _hash(config.chat_template),
        "catalog": _hash(config.catalog),
        "direction methods": methods_identity(config.direction),
        "judge": "" if inputs.judge is None else inputs.judge.sha256,
    }
    if config.categories.taxonomy is not None:
        hashes["taxonomy"] = sha256_of_files([taxonomy_file(config.categories.taxonomy)])
        hashes["category prompts"] = [source.sha256 for source in inputs.category_sources]
    return run_identity(config, environment.package_version(), hashes)


def _sae_configs(location: str, sae_id: str) -> list[Path]:
    """The small files of an SAE in a local folder; a repository's are fixed by its commit."""
    place = resolve(location) / sae_id
    folder = place if place.is_dir() else place.parent
    if not resolve(location).is_dir() or not folder.is_dir():
        return []
    kinds = {".json", ".yaml", ".yml"}
    return sorted(file for file in folder.iterdir() if file.suffix in kinds and file.is_file())


def _hash(file: str | None) -> str:
    return "" if file is None else sha256_of_files([Path(file)])
