"""Backups are claimed of the models into whose weights they are written, and of no other."""

from pathlib import Path

import pytest

from sae_audit.config import AuditConfig
from sae_audit.findings import PooledCascade
from sae_audit.findings.stages import POOLED_CASCADE
from sae_audit.organisms.planted.circuit import Circuit, Read, Unit
from sae_audit.organisms.planted.drawing import HARM, INHIBITION, SLOPE, circuit_of
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import audit_settings, plant
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import (
    candidate_effects,
    candidates,
    cascades,
    direction,
    minimal_sets,
    pooled_cascade,
    restorations,
    scores,
    set_effects,
    unlimited_sets,
    widening,
)

_STAGES = (
    *(scores, direction, candidates, widening, candidate_effects, unlimited_sets, set_effects),
    *(minimal_sets, cascades, restorations),
)


def bystander() -> Circuit:
    """A primary, and a unit that activates once it is ablated and that refusal does not read."""
    units = [
        Unit(name="primary", layer=0, drive=HARM, alignment=0.6),
        Unit(name="bystander", layer=1, drive=HARM, reads={"primary": INHIBITION}, alignment=0.6),
    ]
    reads = [Read(weights={"primary": 1.0}, slope=SLOPE)]
    return circuit_of("bystander", 2, 1, units, reads)


def pooled(circuit: Circuit, folder: Path) -> PooledCascade:
    planted = plant(circuit, folder / "planted", architecture="llama")
    settings = audit_settings(planted)
    settings["prompts"] |= {"train": 6, "validation": 4, "audit": 6}
    config = AuditConfig.model_validate(settings)
    with unpublished(config, folder / "run") as state:
        for stage in (*_STAGES, pooled_cascade):
            stage.run(state)
        return state.session.found(POOLED_CASCADE)


def test_planted_backups_are_claimed(tmp_path: Path):
    found = pooled(build("backups", 3, seed=1), tmp_path)
    claim = found.backups
    assert claim.stands, claim.reason
    assert claim.n == 6
    assert found.restoration is not None
    assert found.restoration.restored.value == pytest.approx(6.0, abs=0.3)
    assert found.restoration.n_held.value == 2.0
    assert found.necessity.needed.value == 1.0, "without the backups the flip fails"


def test_a_unit_that_activates_and_is_not_read_is_no_backup(tmp_path: Path):
    found = pooled(bystander(), tmp_path)
    assert found.restoration is not None
    assert found.restoration.n_held.value >= 1.0, "it does activate"
    assert not found.backups.stands
    assert "does not restore refusal" in found.backups.reason
    assert found.necessity.needed.value == 0.0


def test_units_that_all_fire_are_redundant_and_no_backups(tmp_path: Path):
    claim = pooled(build("parallel", 2, seed=1), tmp_path).backups
    assert not claim.stands
    assert "No dormant feature activates" in claim.reason
