"""SAEs of the real model's organisms: made once, of one adapter, each naming its base."""

from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sae_audit.errors import AuditError
from sae_audit.organisms.smollm2 import make, saes, suite
from sae_audit.organisms.smollm2.base import Base
from sae_audit.organisms.smollm2.saes import Suite
from sae_audit.organisms.smollm2.suite import MADE_BY, make_saes, suite_name
from tests import tiny
from tests.unit.organisms.test_smollm2_making import made, small  # noqa: F401

_SMALL = Suite(layers=(1, 2), d_sae=16, k=4, steps=3, batch=32, n_tokens=200)


@pytest.fixture
def with_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = Base(network=tiny.model("llama"), tokenizer=tiny.tokenizer(), sha256="0" * 64)
    monkeypatch.setattr(suite, "load_base", lambda _device: base)
    monkeypatch.setattr(suite, "own_words", make.own_words)
    monkeypatch.setattr(suite, "general_text", lambda: ["Returns the sum of all."])
    monkeypatch.setattr(saes, "D_MODEL", base.network.config.hidden_size)
    made(tmp_path, "safe")
    return tmp_path


def weights(folder: Path) -> bytes:
    return (folder / "sae_weights.safetensors").read_bytes()


def test_saes_name_their_layer_and_their_base_and_are_made_once(with_safe: Path):
    from sae_lens import SAE

    worked: list[str] = []
    folders = make_saes(with_safe, _SMALL, lambda part, *_: worked.append(part))
    assert [one.name for one in folders] == ["layer_1", "layer_2"]
    for folder, layer in zip(folders, _SMALL.layers, strict=True):
        one = SAE.load_from_disk(folder)
        assert one.cfg.architecture() == "jumprelu"
        assert one.cfg.metadata.hook_name == f"blocks.{layer}.hook_resid_post"
        assert one.cfg.metadata.base_weights_sha256 == "0" * 64
        with safe_open(folder / "sae_weights.safetensors", "pt") as file:
            assert {file.get_tensor(name).dtype.itemsize for name in ("W_enc", "W_dec")} == {2}
    before = weights(folders[0])
    worked.clear()
    assert make_saes(with_safe, _SMALL, lambda part, *_: worked.append(part)) == folders
    assert worked == []
    assert weights(folders[0]) == before


def test_another_layer_leaves_those_that_are_there(with_safe: Path):
    first, _ = make_saes(with_safe, _SMALL, lambda *_: None)
    before = weights(first)
    more = Suite(**{**_SMALL.__dict__, "layers": (1, 0)})
    assert [one.name for one in make_saes(with_safe, more, lambda *_: None)] == [
        "layer_1",
        "layer_0",
    ]
    assert weights(first) == before


def test_other_settings_or_another_adapter_make_them_anew(
    with_safe: Path, monkeypatch: pytest.MonkeyPatch
):
    first, _ = make_saes(with_safe, _SMALL, lambda *_: None)
    before = weights(first)
    make_saes(with_safe, Suite(**{**_SMALL.__dict__, "k": 3}), lambda *_: None)
    other = weights(first)
    assert other != before
    monkeypatch.setattr(
        suite,
        "read_card",
        lambda _: make.read_card(with_safe / "safe").model_copy(  # type: ignore[union-attr]
            update={"recipe_sha256": "f" * 64}
        ),
    )
    make_saes(with_safe, _SMALL, lambda *_: None)
    assert weights(first) == before, "the same seed and texts, made again"


def test_a_folder_of_something_else_stays(with_safe: Path):
    (with_safe / "saes").mkdir()
    (with_safe / "saes" / "thesis.txt").write_text("mine")
    with pytest.raises(AuditError, match=rf"holds no {MADE_BY}; name another folder"):
        make_saes(with_safe, _SMALL, lambda *_: None)
    assert (with_safe / "saes" / "thesis.txt").is_file()


def test_without_the_adapter_it_says_what_to_make_first(tmp_path: Path):
    with pytest.raises(AuditError, match="holds no adapter safe"):
        make_saes(tmp_path, _SMALL, lambda *_: None)


def test_of_the_base_alone_they_do_not_depend_on_the_adapter(with_safe: Path):
    """What an adapter of other weights changes in the activations changes the SAEs, and not these."""
    of_both, of_base = _SMALL, replace(_SMALL, base_alone=True)

    def trained(suite: Suite) -> bytes:
        folder = make_saes(with_safe, suite, lambda *_: None)[0]
        found = weights(folder)
        rmtree(folder)
        return found

    before = trained(of_both), trained(of_base)
    file = with_safe / "safe" / "adapter_model.safetensors"
    save_file({name: 4 * one for name, one in load_file(file).items()}, file)
    assert trained(of_both) != before[0]
    assert trained(of_base) == before[1]


def test_other_suites_have_folders_of_their_own():
    names = [
        suite_name(replace(_SMALL, seed=seed, base_alone=alone))
        for seed in (0, 1)
        for alone in (False, True)
    ]
    assert names == ["saes", "saes-base", "saes-1", "saes-base-1"]
