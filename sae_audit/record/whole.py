"""Does a record fit together? Asked once, when a run is opened."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sae_audit.errors import AuditError
from sae_audit.findings import Direction
from sae_audit.record.facts import Manifest
from sae_audit.record.stages import BY_PROMPT, ONCE, tensors_of
from sae_audit.record.tensors import read_tensors
from sae_audit.untrusted import parsed_json, shown

if TYPE_CHECKING:
    from sae_audit.record.run import Run

_MOST_SHUFFLES = 10_000
"""Refits that counting a record again may be asked for."""
_EVERY = {"scores", "sae_quality"}
_UNLESS_EARLY = {"direction", "candidates", "controls"}


@contextmanager
def fitting_together(*folders: Path) -> Iterator[None]:
    """Inside the block a record whose parts do not fit each other is one sentence.

    What each row is has been checked when it was read. What is left (a prompt that another stage does
    not know, a list that is too short) shows where it is used: in counting, tables and pages.

    Raises:
        AuditError: names the folder, and what was met.
    """
    try:
        yield
    except (LookupError, ValueError, TypeError, AssertionError, ArithmeticError) as error:
        where = " or ".join(shown(folder) for folder in folders)
        raise AuditError(
            f"The record in {where} does not fit together ({type(error).__name__}: {shown(error)}); "
            "fetch it again, or audit again."
        ) from error


def check_whole(run: "Run") -> None:
    """Refuse a run that lacks something, or whose files are of different audits.

    Raises:
        AuditError: says what.
    """
    if run.manifest.identity != run.recorded.facts.get("identity"):
        raise AuditError(
            f"{shown(run.folder)} holds parts of two audits, its record and its manifest; where an "
            "--overwrite was interrupted, run its command again."
        )
    _check_settings(run)
    assert run.config.interactions.n_shuffles <= _MOST_SHUFFLES, "interactions.n_shuffles"
    assert run.findings.model.d_model == run.manifest.model.d_model, "findings.json, manifest.json"
    _check_stages(run)
    _check_prompts(run)
    _check_layers(run)
    for name in tensors_of(run.recorded.rows):
        _check_tensors(run, name)


def _check_settings(run: "Run") -> None:
    recorded = parsed_json(run.recorded.facts["identity_parts"], "the recorded identity")[
        "settings"
    ]
    written = run.config.model_dump(mode="json")
    # The one setting that no file holds.
    differing = [
        key for key in recorded if key != "trust_remote_code" and written[key] != recorded[key]
    ]
    if differing:
        raise AuditError(
            f"{shown(run.folder)}/config.yaml holds other settings than the run was made with "
            f"({shown(differing[0], 40)}); fetch it again, or audit again."
        )


def _check_stages(run: "Run") -> None:
    rows = run.recorded.rows
    needed = _EVERY if run.stopped_early else _EVERY | _UNLESS_EARLY
    missing = sorted(needed - rows.keys())
    if missing:
        raise AuditError(f"The record in {shown(run.folder)} lacks the stage {missing[0]}.")
    for stage, found in rows.items():
        if stage in ONCE and len(found) != 1:
            raise AuditError(
                f"The record in {shown(run.folder)} holds {len(found)} rows of the stage {stage}, "
                "which has one."
            )


def _check_prompts(run: "Run") -> None:
    known = [score.prompt_id for score in run.scores]
    _check_ids("scores", known, set(known))
    widened = set(run.widened)
    for stage in BY_PROMPT:
        ids = [one.prompt_id for one in run.recorded.rows.get(stage, [])]
        _check_ids(stage, ids, set(known) if stage == "widening" else widened)
    _check_ids("interactions", [one.scope for one in run.prompt_graphs], widened)


def _check_ids(stage: str, ids: Iterable[str], known: set[str]) -> None:
    seen: set[str] = set()
    for one in ids:
        assert one in known, f"{stage} names the prompt {one!r}, which no earlier stage has"
        assert one not in seen, f"{stage} holds the prompt {one!r} twice"
        seen.add(one)


def _check_layers(run: "Run") -> None:
    model = run.manifest.model
    assert 0 < model.n_layers <= 10_000, f"{model.n_layers} layers"
    layers = [sae.layer for sae in run.manifest.saes]
    assert layers == sorted(set(layers)), f"SAEs of layers {layers}"
    assert layers == [one.layer for one in run.quality], "sae_quality, manifest.json"
    assert all(0 <= layer < model.n_layers for layer in layers), f"SAEs of layers {layers}"
    if not run.stopped_early:
        direction: Direction = run.direction
        assert len(direction.vector) == model.d_model, f"a direction of {len(direction.vector)}"
        assert any(direction.vector), "a direction of zeros"


def _check_tensors(run: "Run", name: str) -> None:
    found = read_tensors(run.folder, name)
    fits = _SHAPES[name]
    wrong = fits(found, run.manifest)
    if wrong:
        raise AuditError(
            f"{shown(run.folder)}: tensors/{name}.safetensors does not fit the model ({wrong})."
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
    "means": _wrong_means,
    "means_by_group": _wrong_groups,
    "random_directions": _wrong_randoms,
    "successive_directions": _wrong_units,
}
