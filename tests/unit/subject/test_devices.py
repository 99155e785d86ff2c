"""Devices that are named: those that can run an audit, and no others."""

import pytest

from sae_audit.errors import AuditError
from sae_audit.subject.devices import check_device_map, usable_device


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
