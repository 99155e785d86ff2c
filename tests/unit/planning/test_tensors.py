"""What plan and doctor say of a checkpoint's tensors before any weights are downloaded."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.planning.checks_fit import check_judge
from sae_audit.planning.checks_model import (
    check_adapter,
    check_model,
    check_weights,
    check_words,
    opened_model,
)
from sae_audit.planning.checks_saes import check_saes, found_saes
from sae_audit.planning.facts import subject_facts
from sae_audit.presets import build_config
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from tests import tiny
from tests.local_hub import LocalHub
from tests.unit.subject.test_adapters import trained
from tests.unit.subject.test_made_for import OTHER, name_in_adapter, name_in_sae, weights_hash

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tiny.write_checkpoint(tmp_path_factory.mktemp("llama"), "llama")
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def model_of(files: Files) -> Files:
    return {name: data for name, data in files.items() if "/" not in name}


def published(hub: LocalHub, files: Files, model: Files):
    saes = {name.removeprefix("saes/"): d for name, d in files.items() if name.startswith("saes/")}
    hub.publish("org/saes", saes)
    hub.publish("org/model", model)
    options = {"model": "org/model", "saes": "org/saes", "prompts.sources": ["advbench"]}
    return build_config(None, {**options, "device": "cpu"}, [])


def without_head(files: Files) -> Files:
    tensors = load(files["model.safetensors"])
    del tensors["lm_head.weight"]
    return {**model_of(files), "model.safetensors": save(tensors, metadata={"format": "pt"})}


def prefixed(files: Files) -> Files:
    tensors = load(files["model.safetensors"])
    tensors = {f"language_model.{name}": t for name, t in tensors.items()}
    return {**model_of(files), "model.safetensors": save(tensors, metadata={"format": "pt"})}


def cut(files: Files) -> Files:
    config = json.loads(files["config.json"])
    return {
        **model_of(files),
        "config.json": json.dumps({**config, "num_hidden_layers": 2}).encode(),
    }


def narrow(files: Files) -> Files:
    tensors = load(files["model.safetensors"])
    one = "model.layers.0.mlp.up_proj.weight"
    tensors[one] = tensors[one].to(torch.float8_e4m3fn)
    return {**model_of(files), "model.safetensors": save(tensors, metadata={"format": "pt"})}


CASES = (
    (narrow, "up_proj.weight in the type F8_E4M3, and its config.json has no quantization_config"),
    (without_head, "lacks lm_head.weight"),
    (prefixed, "'language_model.' before their names"),
    (cut, "num_hidden_layers is 2"),
)


@pytest.mark.parametrize(("change", "message"), CASES)
def test_plan_and_doctor_tell_it_without_a_download(
    hub: LocalHub, files: Files, change: Callable[[Files], Files], message: str
):
    config = published(hub, files, change(files))
    with pytest.raises(AuditError, match=message):
        subject_facts(config)
    opened = opened_model(config)
    assert isinstance(opened, Checkpoint)
    (check,) = check_weights(opened)
    assert check.status == "failed"
    assert message in check.found + check.remedy
    assert not list(Path(os.environ["HF_HOME"]).rglob("*.safetensors"))


def test_shards_are_asked_for_one_by_one(hub: LocalHub, files: Files):
    tensors = load(files["model.safetensors"])
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
    model = {name: d for name, d in model_of(files).items() if name != "model.safetensors"}
    for part, own in parts.items():
        model[part] = save({n: tensors[n] for n in own}, metadata={"format": "pt"})
    weight_map = {n: part for part, own in parts.items() for n in own}
    model["model.safetensors.index.json"] = json.dumps(
        {"metadata": {}, "weight_map": weight_map}
    ).encode()
    config = published(hub, files, model)
    opened = opened_model(config)
    assert isinstance(opened, Checkpoint)
    (check,) = check_weights(opened)
    assert check.status == "ok", check
    assert "30 tensors" in check.found
    assert subject_facts(config).n_layers == tiny.N_LAYERS


def test_a_hub_that_does_not_give_headers_is_a_note(
    hub: LocalHub, files: Files, monkeypatch: pytest.MonkeyPatch
):
    config = published(hub, files, without_head(files))

    def down(*_: object) -> None:
        raise AuditError("The hub cannot be reached.")

    monkeypatch.setattr("sae_audit.planning.tensors.remote_tensors", down)
    assert any("not known yet" in note for note in subject_facts(config).notes)
    opened = opened_model(config)
    assert isinstance(opened, Checkpoint)
    assert [check.status for check in check_weights(opened)] == ["unknown"]


class TestBesideTheModel:
    """Adapters and judges on the hub, by their headers as well."""

    def adapted(self, hub: LocalHub, files: Files, adapter: Path) -> AuditConfig:
        config = published(hub, files, model_of(files))
        hub.publish("org/adapter", adapter)
        return config.model_copy(update={"adapter": "org/adapter"})

    def test_an_adapter_that_is_whole(self, hub: LocalHub, files: Files, tmp_path: Path):
        config = self.adapted(hub, files, trained(tmp_path))
        (check,) = check_adapter(config)
        assert check.status == "ok", check
        assert not any("adapter" in note for note in subject_facts(config).notes)
        assert not list(Path(os.environ["HF_HOME"]).rglob("*.safetensors"))

    def test_an_adapter_that_names_its_base(self, hub: LocalHub, files: Files, tmp_path: Path):
        """Read from its header on the hub, and compared once the model's weights are here."""
        name_in_adapter(trained(tmp_path), OTHER, base_name="org/parent")
        config = self.adapted(hub, files, tmp_path)
        whole, base = check_adapter(config)
        assert (whole.status, base.status) == ("ok", "note")
        assert "once the model's weights are here" in base.found
        assert any(
            "once the model's weights are here" in one for one in subject_facts(config).notes
        )
        assert not list(Path(os.environ["HF_HOME"]).rglob("*.safetensors"))
        assert Checkpoint(config.model, ModelOptions()).weights
        (check,) = check_adapter(config)
        assert check.status == "failed"
        assert f"made for the weights {OTHER[:12]}" in check.found
        assert check.remedy.startswith("Give the base that it was made for (org/parent)")
        with pytest.raises(AuditError, match="made for the weights"):
            subject_facts(config)
        assert not list(Path(os.environ["HF_HOME"]).rglob("adapter_model.safetensors"))

    @pytest.mark.parametrize("change", ["lacks", "holds", "does not fit"])
    def test_an_adapter_that_is_not(self, hub: LocalHub, files: Files, tmp_path: Path, change: str):
        weights = trained(tmp_path) / "adapter_model.safetensors"
        tensors = load(weights.read_bytes())
        name = next(name for name in tensors if "layers.1." in name)
        tensor = tensors[name]
        if change == "lacks":
            tensors.pop(name)
        elif change == "holds":
            tensors[name.replace("layers.1.", "layers.77.")] = tensor.clone()
        else:
            tensors[name] = tensor[:, :1].contiguous()
        weights.write_bytes(save(tensors))
        config = self.adapted(hub, files, tmp_path)
        (check,) = check_adapter(config)
        assert check.status == "failed"
        assert change in check.found
        with pytest.raises(AuditError, match=change):
            subject_facts(config)
        assert not list(Path(os.environ["HF_HOME"]).rglob("*.safetensors"))

    def test_a_judge_without_its_head(self, hub: LocalHub, files: Files, tmp_path: Path):
        config = published(hub, files, model_of(files))
        judge = tmp_path / "judge.jinja"
        judge.write_text("{{ prompt }} {{ completion }}")
        settings = {"kind": "instruct", "model": "org/judge", "template": str(judge)}
        config = config.model_copy(
            update={"confirm": "text", "judge": config.judge.model_copy(update=settings)}
        )
        hub.publish("org/judge", without_head(files))
        (check,) = check_judge(config)
        assert check.status == "failed"
        assert "lacks lm_head.weight" in check.found
        with pytest.raises(AuditError, match=r"lacks lm_head\.weight"):
            subject_facts(config)
        hub.publish("org/judge", model_of(files))
        (check,) = check_judge(config)
        assert check.status == "ok", check
        assert not list(Path(os.environ["HF_HOME"]).rglob("*.safetensors"))


BROKEN = (
    {"hidden_act": "nosuch"},
    {"rope_parameters": {"rope_type": "nosuch", "rope_theta": 1e4}},
    {"num_key_value_heads": 0},
    {"pad_token_id": 99_999},
    {"attn_implementation": "flash_attention_2"},
    {"quantization_config": {"quant_method": "gptq", "bits": 4}},
)


class TestOnThisMachine:
    @pytest.fixture
    def folder(self, files: Files, tmp_path: Path) -> Path:
        for name, data in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return tmp_path

    def config(self, folder: Path, **options: object):
        named = {"model": str(folder), "saes": str(folder / "saes"), **options}
        return build_config(None, {**named, "prompts.sources": ["advbench"]}, [])

    @pytest.mark.parametrize("change", BROKEN, ids=lambda change: next(iter(change)))
    def test_a_config_that_no_model_can_be_made_of(self, folder: Path, change: dict[str, object]):
        """doctor, plan and loading say the same of it, and none of them in a traceback."""
        described = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(described | change))
        config = self.config(folder)
        (check,) = check_model(opened_model(config))
        assert check.status == "failed"
        with pytest.raises(AuditError) as loading:
            Checkpoint(str(folder), ModelOptions()).network("cpu")
        assert str(loading.value).startswith(check.found.rstrip("."))
        if "quantization_config" in change:  # a plan may be for another machine
            assert any("cannot be read here" in note for note in subject_facts(config).notes)
            return
        with pytest.raises(AuditError) as planning:
            subject_facts(config)
        assert str(planning.value) == str(loading.value)

    def test_adapters(self, folder: Path, tmp_path: Path):
        adapter = trained(tmp_path / "adapter")
        config = self.config(folder, adapter=str(adapter))
        (check,) = check_adapter(config)
        assert check.status == "ok", check
        described = json.loads((adapter / "adapter_config.json").read_text())
        described["base_model_name_or_path"] = "org/other"
        (adapter / "adapter_config.json").write_text(json.dumps(described))
        (check,) = check_adapter(config)
        assert check.status == "note"
        assert "trained on org/other" in check.found
        tensors = load((adapter / "adapter_model.safetensors").read_bytes())
        tensors.pop(next(name for name in tensors if "layers.1." in name))
        (adapter / "adapter_model.safetensors").write_bytes(save(tensors))
        (check,) = check_adapter(config)
        assert check.status == "failed"
        assert "lacks" in check.found

    def test_an_adapter_of_another_base(self, folder: Path, tmp_path: Path):
        adapter = trained(tmp_path / "adapter")
        name_in_adapter(adapter, weights_hash(folder))
        (check,) = check_adapter(self.config(folder, adapter=str(adapter)))
        assert check.status == "ok"
        name_in_adapter(adapter, OTHER)
        config = self.config(folder, adapter=str(adapter))
        (check,) = check_adapter(config)
        assert check.status == "failed"
        with pytest.raises(AuditError, match=r"adapter .* was made for the weights"):
            subject_facts(config)
        accepting = config.model_copy(update={"accept_other_base": True})
        assert [check.status for check in check_adapter(accepting)] == ["ok", "note"]
        assert any("made for other weights" in note for note in subject_facts(accepting).notes)

    def test_saes_of_another_base(self, folder: Path):
        config = self.config(folder)
        for layer in range(tiny.N_LAYERS):
            name_in_sae(folder, layer, base_weights_sha256=weights_hash(folder))
        assert self.checked(config) == ["ok"]
        name_in_sae(folder, 1, base_weights_sha256=OTHER)
        assert self.checked(config) == ["failed"]
        with pytest.raises(AuditError, match=r"SAE layer_1 .* was made for the weights"):
            subject_facts(config)
        accepting = config.model_copy(update={"accept_other_base": True})
        assert self.checked(accepting) == ["ok", "note"]
        notes = [note for note in subject_facts(accepting).notes if "other weights" in note]
        assert notes == ["SAEs were made for other weights than the model's (accept_other_base)."]

    def checked(self, config: AuditConfig) -> list[str]:
        opened, places = opened_model(config), found_saes(config)
        assert isinstance(opened, Checkpoint)
        assert isinstance(places, list)
        return [check.status for check in check_saes(config, places, opened)]

    def test_an_adapter_without_a_strength(self, folder: Path, tmp_path: Path):
        adapter = trained(tmp_path / "adapter", "dora")
        config = self.config(folder, adapter=str(adapter), adapter_scale=0.5)
        (check,) = check_adapter(config)
        assert check.status == "failed"
        assert "cannot be set to 0.5" in check.found
        with pytest.raises(AuditError, match="not linear"):
            subject_facts(config)
        assert check_adapter(self.config(folder, adapter=str(adapter)))[0].status == "ok"

    def test_an_adapter_whose_fit_only_weights_show(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(
            "sae_audit.subject.checkpoint.checkpoint.check_adapter", lambda *_: False
        )
        config = self.config(folder, adapter=str(trained(tmp_path / "adapter")))
        (check,) = check_adapter(config)
        assert check.status == "unknown"
        assert any("adapter is whole shows when" in note for note in subject_facts(config).notes)

    def test_words_without_embeddings(self, folder: Path):
        described = json.loads((folder / "config.json").read_text())
        described["vocab_size"] = 20
        (folder / "config.json").write_text(json.dumps(described))
        opened = Checkpoint(str(folder), ModelOptions())
        checks = check_words(self.config(folder, refusal_tokens=["no"]), opened)
        assert (
            "has the id" in {c.name: c for c in checks if c.status == "failed"}["tokenizer"].found
        )

    def test_a_template_without_the_bos_that_the_tokenizer_adds(self, folder: Path):
        from tokenizers.processors import TemplateProcessing

        words = tiny.tokenizer()
        words.backend_tokenizer.post_processor = TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 1)]
        )
        words.chat_template = tiny.TEMPLATE.replace("{{ bos_token }}", "")
        words.save_pretrained(folder)
        (template,) = [
            check
            for check in check_words(
                self.config(folder, refusal_tokens=["no"]), Checkpoint(str(folder), ModelOptions())
            )
            if check.name == "chat template"
        ]
        assert template.status == "note"
        assert "chat template writes none" in template.found
