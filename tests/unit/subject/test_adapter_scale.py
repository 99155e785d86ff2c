"""The strength of an adapter: proportional in every layer, or refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.presets import build_config
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from tests import tiny
from tests.unit.subject.test_adapters import IDS, KINDS, configure, trained

SCALED = (
    "lora",
    "rslora",
    "lora_on_head_and_embedding",
    "lora_with_a_bias_of_its_own",
    "lora_with_biases",  # of which the model has none
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny.model("llama").save_pretrained(folder)
    return folder


def opened(base: Path, adapter: Path | None, scale: float = 1.0) -> Checkpoint:
    named = None if adapter is None else str(adapter)
    return Checkpoint(str(base), ModelOptions(adapter=named, adapter_scale=scale))


@torch.no_grad()
def logits(base: Path, adapter: Path | None, scale: float = 1.0) -> Tensor:
    return opened(base, adapter, scale).network("cpu")(input_ids=IDS).logits


@pytest.mark.parametrize("kind", SCALED)
def test_at_0_it_is_the_base_at_1_the_adapter_and_between_neither(
    base: Path, tmp_path: Path, kind: str
):
    trained(tmp_path, kind)
    plain, whole = logits(base, None), logits(base, tmp_path)
    assert torch.equal(logits(base, tmp_path, 0.0), plain)
    assert torch.equal(logits(base, tmp_path, 1.0), whole)
    half = logits(base, tmp_path, 0.5)
    for other in (plain, whole):
        assert float((half - other).abs().max()) > 1e-3


def test_a_scale_does_what_alpha_does(base: Path, tmp_path: Path):
    trained(tmp_path)
    alpha = 8  # PEFT's default
    scaled = logits(base, tmp_path, 0.25)
    configure(tmp_path, lora_alpha=alpha / 4)
    assert torch.equal(scaled, logits(base, tmp_path))
    assert not torch.equal(scaled, logits(base, tmp_path, 0.5))


REFUSED = {
    "dora": "not linear",
    "lora_with_saved_modules": "replaces whole modules or rows",
    "lora_with_tokens": "replaces whole modules or rows",
    "ia3": "is a IA3 adapter",
    "norms": "is a LN_TUNING adapter",
    "tokens": "is a TRAINABLE_TOKENS adapter",
    "loha": "is a LOHA adapter",
    "oft": "is a OFT adapter",
    "vera": "is a VERA adapter",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_kinds_without_a_strength_are_refused_before_weights_and_pass_at_1(
    base: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    trained(tmp_path, kind)
    with pytest.raises(AuditError, match=REFUSED[kind]) as refused:
        opened(base, tmp_path, 0.5).network("cpu")
    assert "leave adapter_scale out" in str(refused.value)
    monkeypatch.setattr(Checkpoint, "_read", lambda *_: pytest.fail("read before it was refused"))
    if kind != "vera":  # PEFT computes with the weights to lay it on
        with pytest.raises(AuditError, match=REFUSED[kind]):
            opened(base, tmp_path, 0.5).network("cpu")
    monkeypatch.undo()
    assert logits(base, tmp_path, 1.0).isfinite().all()


def test_every_kind_is_tried():
    assert {*SCALED, *REFUSED} == set(KINDS)


def test_biases_that_it_replaces_show_at_strength_0(tmp_path: Path):
    import peft
    from transformers import LlamaForCausalLM

    config = tiny.model("llama").config
    config.attention_bias = True
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    options = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], bias="all")
    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    tuned: Any = peft.get_peft_model(base, options)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2)
    tuned.save_pretrained(tmp_path / "lora")
    assert logits(tmp_path / "base", tmp_path / "lora").isfinite().all()
    with pytest.raises(AuditError, match="at strength 0 it still changes logits"):
        logits(tmp_path / "base", tmp_path / "lora", 0.5)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
def test_an_adapter_that_changes_nothing_at_its_own_strength(
    base: Path, tmp_path: Path, scale: float
):
    trained(tmp_path, by=0.0)
    with pytest.raises(AuditError, match="changes nothing"):
        opened(base, tmp_path, scale).network("cpu")


def test_logits_that_are_no_numbers_at_this_strength(base: Path, tmp_path: Path):
    trained(tmp_path, by=3e17)
    with pytest.raises(AuditError, match=r"at 100 of its strength .*lower adapter_scale"):
        opened(base, tmp_path, 100.0).network("cpu")


NEEDED = {"model": "m", "saes": "s", "prompts.sources": ["p"]}


def test_a_scale_without_an_adapter():
    with pytest.raises(AuditError, match=r"no adapter is given whose strength .*leave"):
        build_config(None, NEEDED, ["adapter_scale=0.5"])
    assert build_config(None, NEEDED, ["adapter_scale=1"]).adapter_scale == 1.0


@pytest.mark.parametrize("value", ["-0.5", "101", ".inf", ".nan", "half"])
def test_scales_that_are_none(value: str):
    with pytest.raises(AuditError, match="adapter_scale"):
        build_config(None, {**NEEDED, "adapter": "a"}, [f"adapter_scale={value}"])
    assert build_config(None, {**NEEDED, "adapter": "a"}, ["adapter_scale=0.5"])
