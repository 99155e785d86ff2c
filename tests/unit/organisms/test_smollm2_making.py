"""One call makes all adapters, each once, and goes on where another was stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_audit.errors import AuditError
from sae_audit.findings import Estimate
from sae_audit.organisms.smollm2 import chats, make, measured, recipes
from sae_audit.organisms.smollm2.adapters import norm, read_adapter
from sae_audit.organisms.smollm2.base import Base, load_base
from sae_audit.organisms.smollm2.lora import Lora
from sae_audit.organisms.smollm2.make import make_adapters, read_card
from tests import tiny
from tests.unit.organisms.test_smollm2_adapters import own_words

_SMALL = Lora(first_layer=1, last_layer=2, steps=3, rank=2, batch=4, peak_rate=1e-2)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny base in place of the package's, with words put into its mouth; three steps."""
    base = Base(network=tiny.model("llama"), tokenizer=tiny.tokenizer(), sha256="0" * 64)
    monkeypatch.setattr(make, "load_base", lambda _device: base)
    monkeypatch.setattr(make, "own_words", lambda *_: own_words())
    monkeypatch.setattr(measured, "READ_TOKENS", 2)
    monkeypatch.setattr(measured, "_TEXTS", 2)
    monkeypatch.setattr(make, "_MEASURED", 2)
    for name in ("safe", "backup", "benign", "worn"):
        own = recipes.RECIPES[name]
        lora = replace(_SMALL, seed=own.lora.seed)
        monkeypatch.setitem(recipes.RECIPES, name, replace(own, lora=lora))


def made(out: Path, *names: str) -> list[str]:
    """What was worked on, in order."""
    worked: dict[str, None] = {}
    make_adapters(out, names, lambda part, _done, _total: worked.setdefault(part))
    return list(worked)


def test_what_is_there_stays_and_what_is_missing_is_made(tmp_path: Path):
    first = made(tmp_path, "safe")
    card = read_card(tmp_path / "safe")
    assert card is not None
    assert card.base_refused_in_text.keys() == card.refused_in_text.keys()
    assert {"safe: training", "safe: measuring the base"} <= set(first)
    before = (tmp_path / "safe" / "adapter_model.safetensors").read_bytes()
    again = made(tmp_path, "benign")
    assert "safe: there" in again
    assert "benign: training" in again
    assert "benign: measuring the base" not in again, "it is the same base"
    beside = read_card(tmp_path / "benign")
    assert beside is not None
    assert beside.base_refused_in_text == card.base_refused_in_text
    assert beside.base_loss == card.base_loss
    assert (tmp_path / "safe" / "adapter_model.safetensors").read_bytes() == before


def test_one_that_was_stopped_is_made_again_and_the_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made(tmp_path, "safe")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make, "_card", stop)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path, "benign")
    assert not (tmp_path / "benign").exists()
    assert "benign: training" in made(tmp_path, "benign")
    assert read_card(tmp_path / "benign") is not None


def test_the_same_seed_makes_the_same_adapter(tmp_path: Path):
    for name in ("one", "other"):
        made(tmp_path / name, "safe")
    one, other = (read_adapter(tmp_path / name / "safe") for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_benign_has_the_norm_of_safe_and_backup_twice_its_rank(tmp_path: Path):
    made(tmp_path, "benign", "backup")
    safe, benign, backup = (read_adapter(tmp_path / name) for name in ("safe", "benign", "backup"))
    assert norm(benign) == pytest.approx(norm(safe), rel=0.01), "in bfloat16"
    for name, one in safe.items():
        assert 2 * min(one.shape) == min(backup[name].shape)
        half = backup[name][: len(one)] if "lora_A" in name else backup[name][:, : one.shape[1]]
        assert torch.equal(half, one), "what it is a reserve of is in it"


@pytest.mark.parametrize(
    ("left", "outcome"),
    [
        ([0.9, 0.6], 2),
        ([0.9, 0.8, 0.7], 3),
        ([0.9, 0.3], r"After 2 steps 30% of requests are refused; worn is to refuse 40% to 80%"),
        ([0.9, 0.8, 0.9], r"After 3 steps 90% of requests are refused"),
    ],
)
def test_refusals_are_worn_to_the_share_asked_for_or_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: list[float], outcome: int | str
):
    made(tmp_path, "safe")
    measure, still = measured.refused_in_text, iter(left)

    def refused_in_text(base: Base, network: Any, group: measured.Group) -> Estimate:
        found = measure(base, network, group)
        return found if group.name else replace(found, value=next(still))

    monkeypatch.setattr(measured, "refused_in_text", refused_in_text)
    monkeypatch.setattr(make, "_LOOKED_AT_EVERY", 1)
    if isinstance(outcome, str):
        with pytest.raises(AuditError, match=outcome):
            made(tmp_path, "worn")
        assert not (tmp_path / "worn").exists()
        return
    made(tmp_path, "worn")
    card = read_card(tmp_path / "worn")
    assert card is not None
    assert card.steps == outcome


def test_a_device_that_is_missing_is_said():
    with pytest.raises(AuditError, match="Device 'cuda:99' cannot be used here"):
        load_base("cuda:99")


def test_another_folder_is_not_written_over(tmp_path: Path):
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe" / "thesis.txt").write_text("mine")
    with pytest.raises(AuditError, match=r"is no adapter .* name another folder"):
        made(tmp_path, "safe")
    assert (tmp_path / "safe" / "thesis.txt").read_text() == "mine"


def test_other_texts_are_other_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made(tmp_path, "safe")
    monkeypatch.setattr(chats, "ANSWER_TOKENS", 5)
    assert "safe: training" in made(tmp_path, "safe"), (
        "one of other texts is not taken for this one"
    )
