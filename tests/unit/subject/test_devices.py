"""Devices that are named: those that can run an audit, and no others."""

from pathlib import Path

import pytest

from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from sae_audit.subject.model.devices import check_device_map, check_parts, usable_device
from tests import tiny


@pytest.mark.parametrize("asked", ["cpu", "cpu:0"])
def test_a_processor_can_be_used(asked: str):
    assert usable_device(asked) == asked


@pytest.mark.parametrize("asked", ["meta", "mps", "xla", "cuda:99", "cuda:", "nothing", "\x1b[2J"])
def test_a_device_that_gives_no_numbers_back_is_refused_in_a_short_sentence(asked: str):
    with pytest.raises(AuditError) as refused:
        usable_device(asked)
    said = str(refused.value)
    assert len(said) < 260
    assert said.isprintable()


@pytest.mark.parametrize("asked", [None, "auto", "balanced", "cpu", {"": "cpu"}, {"model": "disk"}])
def test_a_map_of_devices_that_are_here_is_taken(asked: str | dict[str, int | str] | None):
    check_device_map(asked)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({}, "names no part"),
        ("everywhere", "names 'everywhere'"),
        ("meta", "names 'meta'"),
        ({"model": "meta", "lm_head": "cpu"}, "names 'meta'"),
        ({"model": 99, "lm_head": "cpu"}, "names 99"),
        ({"model": -1}, "names -1"),
    ],
)
def test_a_map_of_other_devices_is_refused(asked: str | dict[str, int | str], complaint: str):
    with pytest.raises(AuditError, match=complaint):
        check_device_map(asked)


@pytest.mark.parametrize("part", ["", "model", "model.layers.1", "model.layers.1.mlp", "lm_head"])
def test_parts_that_a_model_has(part: str):
    check_parts({part: "cpu"}, tiny.model("llama"))


@pytest.mark.parametrize("part", ["modle", "model.layers.99", "layers"])
def test_a_part_that_the_model_does_not_have(part: str, tmp_path: Path):
    """accelerate loads it without a word, and places nothing by it."""
    with pytest.raises(AuditError, match="the model has no such part; it has model, lm_head"):
        check_parts({"": "cpu", part: "cpu"}, tiny.model("llama"))
    tiny.write_checkpoint(tmp_path, "llama")
    options = ModelOptions(device_map={"": "cpu", part: "cpu"})
    with pytest.raises(AuditError, match="the model has no such part"):
        Checkpoint(str(tmp_path), options).network("cpu")
