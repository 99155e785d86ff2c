"""Layers in which refusal arrives, of planted models whose units' layers are known."""

from pathlib import Path

import numpy as np
import pytest

from sae_audit.config import AuditConfig
from sae_audit.findings import LayerPatching
from sae_audit.organisms.planted.circuit import Circuit, run
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import audit_settings, plant
from sae_audit.pipeline.means import record_means
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import layer_patching, scores


def patched(circuit: Circuit, folder: Path) -> LayerPatching:
    settings = audit_settings(plant(circuit, folder / "it", architecture="llama"))
    settings["prompts"] |= {"train": 8, "validation": 8, "audit": 8}
    with unpublished(AuditConfig.model_validate(settings), folder / "run") as state:
        scores.run(state)
        record_means(state.session, state.prompts.train)
        layer_patching.run(state)
        return state.session.found(layer_patching.STAGE)


def true_score(circuit: Circuit, layer: int) -> float:
    """The score of a harmful prompt with every unit up to a layer silent, as on harmless prompts; units
    above read the request themselves."""
    layer_of = {unit.name: unit.layer for unit in circuit.units}
    (category,) = {one for unit in circuit.units for one in unit.drive}
    mask = np.array([[layer_of[player.unit] <= layer for player in circuit.players]])
    return float(run(circuit, mask, {category: 1.0}).refusal[0])


@pytest.mark.parametrize(
    ("family", "size", "arrives"),
    [
        ("single_bottleneck", 2, 0),  # What the neck feeds reads nothing else.
        ("parallel", 3, 3),  # Ways in layers 1, 2 and 3, each enough alone.
        ("backups", 2, 1),  # The primary in layer 0, its backup in 1.
        ("backups", 3, 2),
    ],
)
def test_refusal_arrives_where_the_last_unit_that_is_enough_for_it_writes(
    tmp_path: Path, family: str, size: int, arrives: int
):
    circuit = build(family, size, seed=1)
    found = patched(circuit, tmp_path)
    # Of the last layer, which turns units into logits, everything is replaced.
    for one in found.layers[:-1]:
        assert one.refused.value == pytest.approx(true_score(circuit, one.layer), abs=0.05)
    assert found.steepest == arrives
    assert found.arrival is not None
    assert found.arrival.value == arrives
    assert found.share_steepest == pytest.approx(1.0, abs=0.01)
    # Harmful prompts' own mean takes nothing, and brings refusal to harmless ones.
    clean = found.clean_refused.value
    assert all(one.own_mean.value == pytest.approx(clean, abs=0.2) for one in found.layers)
    assert found.layers[arrives].answered.value > 0.0


def test_without_refused_prompts_nothing_is_recorded(tmp_path: Path):
    settings = audit_settings(
        plant(build("parallel", 2, seed=1), tmp_path / "it", architecture="llama")
    )
    settings["prompts"] |= {"train": 8, "validation": 8, "audit": 8}
    settings["readout"] = {"threshold": 50.0}
    with unpublished(AuditConfig.model_validate(settings), tmp_path / "run") as state:
        scores.run(state)
        layer_patching.run(state)
        assert state.session.if_found(layer_patching.STAGE) is None
