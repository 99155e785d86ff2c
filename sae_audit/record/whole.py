"""Checks, when a run is opened, that its parts fit together."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings import Direction
from sae_audit.findings.stages import (
    BEHAVIOUR,
    CANDIDATES,
    CONTROLS,
    DIRECTION,
    INTERACTIONS,
    MEANS,
    MEANS_BY_GROUP,
    MINIMAL_SETS,
    NULL_SEARCH,
    POOLED,
    RANDOM_DIRECTIONS,
    SAE_QUALITY,
    SCORES,
    SEARCH_NULL,
    STAGES,
    UNITS_OUT,
    WIDENING,
    OfPrompts,
    OfRun,
    tensors_of,
)
from sae_audit.margins import refuses
from sae_audit.record.facts import Manifest
from sae_audit.record.findings_file import Findings
from sae_audit.record.reading import Recorded
from sae_audit.record.tensors import read_tensors
from sae_audit.untrusted import parsed_json, shown

_MOST_SHUFFLES = 10_000
"""Largest number of refits that a record may ask for when it is counted again."""
_EVERY = (SCORES, BEHAVIOUR, SAE_QUALITY)
_UNLESS_EARLY = (DIRECTION, CANDIDATES, CONTROLS)


@contextmanager
def fitting_together(*folders: Path) -> Iterator[None]:
    """Turn errors of a record whose parts do not fit each other into one sentence.

    Each row was checked when it was read. Other faults (an unknown prompt, a list that is too short)
    show in use: in counting, tables and pages.

    Raises:
        AuditError: names the folder and the fault.
    """
    try:
        yield
    except (LookupError, ValueError, TypeError, AssertionError, ArithmeticError) as error:
        where = " or ".join(shown(folder) for folder in folders)
        raise AuditError(
            f"The record in {where} does not fit together ({type(error).__name__}: {shown(error)}); "
            "fetch it again, or audit again."
        ) from error


def check_whole(
    folder: Path, recorded: Recorded, config: AuditConfig, manifest: Manifest, findings: Findings
) -> None:
    """Refuse a run that lacks something, or whose files belong to different audits.

    Raises:
        AuditError: says what.
    """
    if manifest.identity != recorded.facts.get("identity"):
        raise AuditError(
            f"{shown(folder)} holds parts of two audits, its record and its manifest; where an "
            "--overwrite was interrupted, run its command again."
        )
    _check_settings(folder, recorded, config)
    assert config.interactions.n_shuffles <= _MOST_SHUFFLES, "interactions.n_shuffles"
    assert findings.model.d_model == manifest.model.d_model, "findings.json, manifest.json"
    _check_stages(folder, recorded)
    _check_prompts(recorded)
    _check_layers(recorded, manifest)
    for name in tensors_of(recorded.rows):
        _check_tensors(folder, manifest, name)


def _check_settings(folder: Path, recorded: Recorded, config: AuditConfig) -> None:
    begun = parsed_json(recorded.facts["identity_parts"], "the recorded identity")["settings"]
    # A run may be older than a setting, which then has its default.
    begun_with = AuditConfig.model_validate(begun).model_dump(mode="json")
    written = config.model_dump(mode="json")
    # The one setting that no file contains.
    differing = [
        key for key in begun if key != "trust_remote_code" and written[key] != begun_with[key]
    ]
    if differing:
        raise AuditError(
            f"{shown(folder)}/config.yaml holds other settings than the run was made with "
            f"({shown(differing[0], 40)}); fetch it again, or audit again."
        )


def _check_stages(folder: Path, recorded: Recorded) -> None:
    counts = {name: len(found) for name, found in recorded.rows.items()}
    for stage in STAGES:
        if isinstance(stage, OfRun) and counts.get(stage.name, 0) > 1:
            raise AuditError(
                f"The record in {shown(folder)} holds {counts[stage.name]} rows of the stage "
                f"{stage.name}, which has one."
            )
    needed = _EVERY if recorded.stopped_early else (*_EVERY, *_UNLESS_EARLY)
    missing = sorted({stage.name for stage in needed} - counts.keys())
    if missing:
        raise AuditError(f"The record in {shown(folder)} lacks the stage {missing[0]}.")


def _check_prompts(recorded: Recorded) -> None:
    known = [score.prompt_id for score in recorded.one(SCORES)]
    _check_ids(SCORES.name, known, set(known))
    _check_behaviour(recorded)
    widened = {one.prompt_id for one in recorded.all(WIDENING)}
    for stage in STAGES:
        if isinstance(stage, OfPrompts) and stage is not INTERACTIONS:
            ids = [one.prompt_id for one in recorded.all(stage)]
            _check_ids(stage.name, ids, set(known) if stage is WIDENING else widened)
    scopes = [one.scope for one in recorded.all(INTERACTIONS) if one.scope != POOLED]
    _check_ids(INTERACTIONS.name, scopes, widened)


def _check_behaviour(recorded: Recorded) -> None:
    """Refuse numbers that were counted over other prompts."""
    found = recorded.one(BEHAVIOUR)
    audited = [score for score in recorded.one(SCORES) if score.split == "audit"]
    shares = {
        "harmful": found.refused_harmful,
        "harmless": found.refused_harmless,
        "safe_lookalike": found.refused_lookalikes,
    }
    assert {score.label for score in recorded.one(SCORES)} <= shares.keys(), "labels of scores"
    for label, share in shares.items():
        refused = [refuses(score.score) for score in audited if score.label == label]
        counted = (0, 0) if share is None else (share.n, round(share.value * share.n))
        assert counted == (len(refused), sum(refused)), label
    splits = {score.split for score in recorded.one(SCORES) if score.label == "safe_lookalike"}
    assert splits <= {"audit"}, "splits of look-alikes"
    if (against := recorded.found(SEARCH_NULL)) is not None:
        n = len(recorded.all(MINIMAL_SETS))
        assert against.flipped.n == against.flipped_by_candidates.n == n, SEARCH_NULL.name
        n_pools = {len(one.scores) for one in recorded.all(NULL_SEARCH)}
        counted = {against.n_pools, len(against.n_flipped_by_pools), len(against.null_values)}
        assert n_pools == counted == {against.n_pools}, NULL_SEARCH.name


def _check_ids(stage: str, ids: Iterable[str], known: set[str]) -> None:
    seen: set[str] = set()
    for one in ids:
        assert one in known, f"{stage} names the prompt {one!r}, which no earlier stage has"
        assert one not in seen, f"{stage} holds the prompt {one!r} twice"
        seen.add(one)


def _check_layers(recorded: Recorded, manifest: Manifest) -> None:
    model = manifest.model
    assert 0 < model.n_layers <= 10_000, f"{model.n_layers} layers"
    layers = [sae.layer for sae in manifest.saes]
    assert layers == sorted(set(layers)), f"SAEs of layers {layers}"
    assert layers == [one.layer for one in recorded.one(SAE_QUALITY)], "sae_quality, manifest.json"
    assert all(0 <= layer < model.n_layers for layer in layers), f"SAEs of layers {layers}"
    if not recorded.stopped_early:
        direction = recorded.one(DIRECTION)
        assert isinstance(direction, Direction), "no direction"
        assert len(direction.vector) == model.d_model, f"a direction of {len(direction.vector)}"
        assert any(direction.vector), "a direction of zeros"
        asked = (direction.selected.bypass, direction.selected.induce)
        assert None not in asked, "a direction whose bypass or induce was not asked"


def _check_tensors(folder: Path, manifest: Manifest, name: str) -> None:
    wrong = _SHAPES[name](read_tensors(folder, name), manifest)
    if wrong:
        raise AuditError(
            f"{shown(folder)}: tensors/{name}.safetensors does not fit the model ({wrong})."
        )


def _wrong_means(found: Mapping[str, np.ndarray], manifest: Manifest) -> str:
    shape = (manifest.model.n_layers, len(manifest.template_tokens), manifest.model.d_model)
    return _wrong(found, {"harmful": shape, "harmless": shape})


def _wrong_groups(found: Mapping[str, np.ndarray], manifest: Manifest) -> str:
    n = len(found["n_harmful"])
    shape = (n, manifest.model.n_layers, len(manifest.template_tokens), manifest.model.d_model)
    return _wrong(
        found, {"harmful": shape, "harmless": shape, "n_harmful": (n,), "n_harmless": (n,)}
    )


def _wrong_randoms(found: Mapping[str, np.ndarray], manifest: Manifest) -> str:
    return _wrong(found, {"directions": (len(found["directions"]), manifest.model.d_model)})


def _wrong_units(found: Mapping[str, np.ndarray], manifest: Manifest) -> str:
    return _wrong(found, {"units": (len(found["units"]), manifest.model.d_model)})


def _wrong(found: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]) -> str:
    if found.keys() != expected.keys():
        return f"it holds {', '.join(shown(key, 40) for key in found) or 'nothing'}"
    for key, shape in expected.items():
        if found[key].shape != shape:
            return f"{key} is {found[key].shape}, not {shape}"
        if (found[key].dtype.kind == "i") != key.startswith("n_"):
            return f"{key} is {found[key].dtype}"
    return ""


_SHAPES = {
    MEANS: _wrong_means,
    MEANS_BY_GROUP: _wrong_groups,
    RANDOM_DIRECTIONS: _wrong_randoms,
    UNITS_OUT: _wrong_units,
}
