"""An adapter in the weights: what PEFT merges, or refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.presets import build_config
from sae_audit.subject.checkpoint.adapter_merging import merge
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from tests import tiny
from tests.unit.subject.test_adapters import IDS, KINDS, trained

MERGED = ("lora", "rslora", "lora_with_biases")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny.model("llama").save_pretrained(folder)
    return folder


def network(base: Path, adapter: Path | None, dtype: str = "float32", **options: Any) -> Any:
    named = None if adapter is None else str(adapter)
    return Checkpoint(str(base), ModelOptions(adapter=named, **options)).network("cpu", dtype)


@torch.no_grad()
def logits(base: Path, adapter: Path | None, dtype: str = "float32", **options: Any) -> Tensor:
    return network(base, adapter, dtype, **options)(input_ids=IDS).logits


@pytest.mark.parametrize("kind", MERGED)
def test_logits_are_those_of_the_adapter_beside_the_weights(base: Path, tmp_path: Path, kind: str):
    trained(tmp_path, kind)
    merged = logits(base, tmp_path, adapter_merged=True)
    beside = logits(base, tmp_path)
    torch.testing.assert_close(merged, beside, rtol=0.0, atol=1e-4)
    assert float((merged - logits(base, None)).abs().max()) > 0.1


def test_its_strength_is_taken_before_it_is_merged(base: Path, tmp_path: Path):
    trained(tmp_path)
    half = logits(base, tmp_path, adapter_scale=0.5)
    torch.testing.assert_close(
        logits(base, tmp_path, adapter_scale=0.5, adapter_merged=True), half, rtol=0.0, atol=1e-4
    )
    nothing = logits(base, tmp_path, adapter_scale=0.0, adapter_merged=True)
    assert torch.equal(nothing, logits(base, None))


def test_nothing_of_peft_is_left_in_the_model(base: Path, tmp_path: Path):
    trained(tmp_path)
    merged = network(base, tmp_path, adapter_merged=True)
    assert type(merged) is type(network(base, None))
    assert not [name for name, _ in merged.named_modules() if "lora" in name]


def test_weights_are_rounded_to_their_own_type(base: Path, tmp_path: Path):
    trained(tmp_path)
    merged = network(base, tmp_path, "bfloat16", adapter_merged=True)
    assert {one.dtype for one in merged.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in (*MERGED, "lora_with_a_bias_of_its_own")]
)
def test_other_kinds_are_refused_and_load_beside_the_weights(base: Path, tmp_path: Path, kind: str):
    trained(tmp_path, kind)
    with pytest.raises(AuditError, match=r"cannot be merged into the weights: .*adapter_merged"):
        network(base, tmp_path, adapter_merged=True)
    assert network(base, tmp_path) is not None


class Rounding:
    """PEFT's model of an adapter that acts beside the weights, and not in them."""

    def get_base_model(self) -> str:
        return "beside"

    def merge_and_unload(self) -> Any:
        return torch.nn.Linear(2, 2)


def test_one_of_which_rounding_leaves_nothing_is_refused():
    def asked(one: Any) -> Tensor:
        return torch.tensor([1.0 if one == "beside" else 0.0])

    with pytest.raises(AuditError, match=r"of nothing .* rounded to .* it changes no weight"):
        merge(Rounding(), asked, without=torch.tensor([0.0]), where="of nothing")
    kept = merge(Rounding(), asked, without=torch.tensor([1.0]), where="of strength 0")
    assert isinstance(kept, torch.nn.Linear)


def test_without_an_adapter_there_is_nothing_to_merge():
    needed = {"model": "m", "saes": "s", "prompts.sources": ["p"]}
    with pytest.raises(AuditError, match="adapter_merged is true, and no adapter is given"):
        build_config(None, needed, ["adapter_merged=true"])
    assert build_config(None, {**needed, "adapter": "a"}, ["adapter_merged=true"]).adapter_merged
