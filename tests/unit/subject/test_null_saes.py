"""The user's own null dictionaries: which SAE stands in which layer's place, and what is refused."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from sae_audit.config import EvidenceSettings, NullSaesSettings
from sae_audit.errors import AuditError
from sae_audit.subject import Subject
from sae_audit.subject.saes.null_saes import load_null_saes, null_places
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for layer in (0, 1, 2, 3):
        tiny.sae("standard", layer, seed=layer + 10).save_model(tmp_path / f"layer_{layer}")
    return tmp_path


def loaded(subject: Subject, **asked: object):
    return load_null_saes(
        NullSaesSettings.model_validate(asked), subject.suite, d_model=subject.d_model, catalog=[]
    )


def layers(found: dict) -> dict[int, str]:
    return {layer: sae.hook_name for layer, sae in found.items()}


def test_the_same_layers_if_all_are_there(subject: Subject, folder: Path):
    found = loaded(subject, saes=str(folder))
    assert layers(found) == {layer: f"blocks.{layer}.hook_resid_post" for layer in subject.layers}
    assert all(sae.layer == layer for layer, sae in found.items())


def test_the_layers_stated_in_order(subject: Subject, folder: Path):
    found = loaded(subject, saes=str(folder), layers=[3, 0, 2])
    assert list(layers(found).values()) == [f"blocks.{i}.hook_resid_post" for i in (3, 0, 2)]
    assert [sae.layer for sae in found.values()] == subject.layers


def test_the_first_in_order_if_layers_differ(folder: Path):
    found = null_places(NullSaesSettings(saes=str(folder)), [2, 7], catalog=[])
    assert {layer: place.layer for layer, place in found.items()} == {2: 0, 7: 1}


def test_other_layers_are_half_of_all_further_up(subject: Subject):
    found = loaded(subject, saes="other_layers")
    own = subject.layers
    assert sorted(found) == own
    assert all(found[layer].hook_name != subject.suite[layer].hook_name for layer in own)
    assert found[own[1]].hook_name == subject.suite[own[0]].hook_name
    assert subject.suite[own[0]].layer == own[0], "the audited SAE is another object"


def test_saes_of_another_width_are_refused_in_a_sentence(subject: Subject, folder: Path):
    path = folder / "layer_0" / "cfg.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "d_in": 99}))
    with pytest.raises(AuditError, match=r"reads 99 dimensions.*name SAEs of that width"):
        loaded(subject, saes=str(folder))


def test_too_few_layers_are_refused(folder: Path):
    named = NullSaesSettings(saes=str(folder))
    with pytest.raises(AuditError, match="has SAEs of 4 layers, and 6 are audited"):
        null_places(named, range(10, 16), catalog=[])
    with pytest.raises(AuditError, match="names 2 layers for the 3 that are audited"):
        null_places(named.model_copy(update={"layers": (0, 1)}), range(3), catalog=[])
    with pytest.raises(AuditError, match="at least two audited layers"):
        null_places(NullSaesSettings(saes="other_layers"), [4], catalog=[])


def test_a_name_alone_is_a_setting():
    read = EvidenceSettings.model_validate({"null_saes": ["a", {"saes": "b", "layers": [1, 2]}]})
    assert read.null_saes == (
        NullSaesSettings(saes="a"),
        NullSaesSettings(saes="b", layers=(1, 2)),
    )
    for bad in ({"saes": "b", "layers": [1, 1]}, {"saes": "other_layers", "layers": [1]}):
        with pytest.raises(ValidationError):
            EvidenceSettings.model_validate({"null_saes": [bad]})
