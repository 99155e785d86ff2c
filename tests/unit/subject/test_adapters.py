"""Adapters act as PEFT says, whole, or are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from tests import tiny

IDS = torch.tensor([[1, 4, 9, 12, 15, 16, 5, 8]])
LAYERS = {"target_modules": ["q_proj", "down_proj"]}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("LoraConfig", LAYERS),
    "dora": ("LoraConfig", {**LAYERS, "use_dora": True}),
    "rslora": ("LoraConfig", {**LAYERS, "use_rslora": True}),
    "lora_on_head_and_embedding": (
        "LoraConfig",
        {"target_modules": ["q_proj", "lm_head", "embed_tokens"]},
    ),
    "lora_with_saved_modules": (
        "LoraConfig",
        {**LAYERS, "modules_to_save": ["lm_head", "embed_tokens"]},
    ),
    "lora_with_biases": ("LoraConfig", {**LAYERS, "bias": "all"}),
    "lora_with_a_bias_of_its_own": ("LoraConfig", {**LAYERS, "lora_bias": True}),
    "lora_with_tokens": ("LoraConfig", {**LAYERS, "trainable_token_indices": [3, 9]}),
    "ia3": ("IA3Config", {"target_modules": ["k_proj"], "feedforward_modules": []}),
    "norms": ("LNTuningConfig", {"target_modules": ["input_layernorm"]}),
    "tokens": ("TrainableTokensConfig", {"token_indices": [3, 9]}),
    "loha": ("LoHaConfig", LAYERS),
    "oft": ("OFTConfig", {**LAYERS, "oft_block_size": 4, "r": 0}),
    "vera": ("VeraConfig", LAYERS),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny.model("llama").save_pretrained(folder)
    return folder


def trained(folder: Path, kind: str = "lora", *, by: float = 0.2) -> Path:
    """An adapter of this kind with random tensors; `by` 0 is one that was never trained."""
    import peft

    name, options = KINDS[kind]
    torch.manual_seed(0)
    config = getattr(peft, name)(task_type="CAUSAL_LM", **options)
    tuned: Any = peft.get_peft_model(tiny.model("llama"), config)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(by * torch.randn_like(parameter))
    tuned.save_pretrained(folder)
    return folder


def loaded(base: Path, adapter: Path) -> Any:
    return Checkpoint(str(base), ModelOptions(adapter=str(adapter))).network("cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_pefts_to_the_bit(base: Path, tmp_path: Path, kind: str):
    from peft import PeftModel

    trained(tmp_path, kind)
    theirs: Any = PeftModel.from_pretrained(tiny.model("llama"), str(tmp_path)).eval()
    ours = loaded(base, tmp_path)
    plain = Checkpoint(str(base), ModelOptions()).network("cpu")
    with torch.no_grad():
        found = ours(input_ids=IDS).logits
        assert torch.equal(found, theirs(input_ids=IDS).logits)
        assert not torch.equal(found, plain(input_ids=IDS).logits)


def test_parts_on_a_disk_are_refused(base: Path, tmp_path: Path):
    """transformers' own loader laid it on without effect there."""
    names = ["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"]
    names += [f"model.layers.{i}" for i in range(tiny.N_LAYERS)]
    placed = {**dict.fromkeys(names, "cpu"), "model.layers.1": "disk"}
    options = ModelOptions(adapter=str(trained(tmp_path)), device_map=placed)
    with pytest.raises(AuditError, match=r"device_map keeps on a disk"):
        Checkpoint(str(base), options).network("cpu")


def change(
    adapter: Path, how: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    file = adapter / "adapter_model.safetensors"
    save_file(how(load_file(file)), file)


CASES = (
    (
        lambda tensors: {
            name.replace("model.model.", "model.model.language_model."): t
            for name, t in tensors.items()
        },
        r"holds .*language_model.* for which .* has no place",
    ),
    (
        lambda tensors: {name: t for name, t in tensors.items() if "layers.1." not in name},
        r"lacks base_model\.model\.model\.layers\.1\..* \(4 tensors\)",
    ),
    (
        lambda tensors: {
            **tensors,
            "base_model.model.model.layers.9.x.lora_A.weight": torch.ones(2),
        },
        r"holds .*layers\.9\..* \(1 tensor\), for which .* has no place",
    ),
    (
        lambda tensors: {name: torch.cat([t, t], dim=1) for name, t in tensors.items()},
        r"does not fit .*size mismatch",
    ),
    (
        lambda tensors: {name: t * float("nan") for name, t in tensors.items()},
        r"adapter .* holds weights that are no numbers",
    ),
)


@pytest.mark.parametrize(("how", "message"), CASES)
@pytest.mark.parametrize("headers", [True, False])
def test_an_adapter_that_is_not_whole(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    message: str,
    headers: bool,
):
    change(trained(tmp_path), how)
    if not headers:
        monkeypatch.setattr(Checkpoint, "check_adapter_headers", lambda _: None)
    with pytest.raises(AuditError, match=message):
        loaded(base, tmp_path)


def test_a_dora_adapter_without_its_magnitudes(base: Path, tmp_path: Path):
    trained(tmp_path, "dora")
    change(
        tmp_path,
        lambda tensors: {name: t for name, t in tensors.items() if "magnitude" not in name},
    )
    with pytest.raises(AuditError, match=r"lacks .*lora_magnitude_vector"):
        loaded(base, tmp_path)


def test_an_adapter_that_was_never_trained_is_not_called_a_fine_tune(base: Path, tmp_path: Path):
    trained(tmp_path, by=0.0)
    with pytest.raises(AuditError, match=r"changes nothing"):
        loaded(base, tmp_path)


def configure(adapter: Path, **changes: Any) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "NEW"}, r"no peft_type that PEFT knows .*'NEW'"),
        ({"peft_type": ["LORA"]}, r"no peft_type that PEFT knows"),
        ({"peft_type": "PROMPT_TUNING"}, r"PROMPT_TUNING adapter, which adds positions"),
        ({"megatron_config": {}}, r"has megatron_config"),
        ({"r": "eight"}, r"does not fit"),
        ({"target_modules": 7}, r"does not fit"),
        ({"target_modules": ["elsewhere"]}, r"does not fit"),
        ({"r": 3}, r"does not fit"),
        (
            {"layer_replication": [[0, 2], [1, 3]]},
            r"layer_replication, which makes a model of other",
        ),
        ({"peft_type": "POLY"}, r"POLY adapter, which has to be told the task"),
        ({"alora_invocation_tokens": [3]}, r"acts only behind its alora_invocation_tokens"),
    ],
)
def test_configs_of_adapters(base: Path, tmp_path: Path, changes: dict[str, Any], message: str):
    trained(tmp_path)
    configure(tmp_path, **changes)
    with pytest.raises(AuditError, match=message):
        loaded(base, tmp_path)


def test_saved_modules_that_are_not_there(base: Path, tmp_path: Path):
    trained(tmp_path, "lora_with_saved_modules")
    change(
        tmp_path,
        lambda tensors: {name: t for name, t in tensors.items() if "embed_tokens" not in name},
    )
    opened = Checkpoint(str(base), ModelOptions(adapter=str(tmp_path)))
    with pytest.raises(AuditError, match=r"lacks base_model\.model\.model\.embed_tokens\.weight"):
        opened.check_adapter_headers()


def test_tensors_too_large_for_the_type(base: Path, tmp_path: Path):
    trained(tmp_path)
    change(tmp_path, lambda tensors: {name: t * 1e30 for name, t in tensors.items()})
    with pytest.raises(AuditError, match=r"logits of .* are no numbers"):
        loaded(base, tmp_path)


def test_an_adapter_that_needs_more_than_a_prompt(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from peft import PeftModel

    def unwilling(*_: Any, **__: Any) -> None:
        raise ValueError("task_ids should not be None.")

    trained(tmp_path)
    monkeypatch.setattr(PeftModel, "forward", unwilling)
    with pytest.raises(AuditError, match=r"cannot be run on a prompt alone \(ValueError: task_ids"):
        loaded(base, tmp_path)
