"""A doctor tells what stands in an audit's way, and still looks at the rest."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from sae_audit import hub as hub_files
from sae_audit.cli.commands import app
from sae_audit.config import AuditConfig
from sae_audit.planning import checks_machine, memory
from sae_audit.planning.checks import Check, failure, without_home
from sae_audit.planning.doctor import examine, to_do
from sae_audit.presets import build_config
from tests import tiny
from tests.local_hub import TOKEN, LocalHub

ENOUGH = ["prompts.train=4", "prompts.validation=4", "prompts.audit=4"]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_checkpoint(tmp_path_factory.mktemp("doctor"), "llama")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    # Texts that share no words, so that none nearly repeats another.
    rows = [
        {
            "id": f"{label}-{i}",
            "text": " ".join(ALPHABET[i] * n + label for n in (3, 5, 7)),
            "label": label,
        }
        for label in ("harmful", "harmless")
        for i in range(14)
    ]
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


@pytest.fixture
def config(prompts: Path) -> Callable[..., AuditConfig]:
    def made(*settings: str, **options: Any) -> AuditConfig:
        known = {
            "model": "org/tiny",
            "saes": "org/tiny-saes",
            "prompts.sources": [str(prompts)],
            "refusal_tokens": ["no"],
            "device": "cpu",
        }
        return build_config(None, {**known, **options}, [*ENOUGH, *settings])

    return made


def publish(hub: LocalHub, checkpoint: Path, *, gated: bool = False) -> None:
    model = {p.name: p.read_bytes() for p in checkpoint.iterdir() if p.is_file()}
    hub.publish("org/tiny", model, gated=gated)
    hub.publish("org/tiny-saes", checkpoint / "saes")


def by_name(checks: list[Check]) -> dict[str, Check]:
    """The gravest of each name."""
    gravity = ["ok", "note", "unknown", "warning", "failed"]
    return {c.name: c for c in sorted(checks, key=lambda c: gravity.index(c.status))}


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if check.status == "failed"]


class TestHub:
    def test_all_is_well(self, hub: LocalHub, tiny_llama: Path, config: Callable[..., AuditConfig]):
        publish(hub, tiny_llama)
        checks = examine(config())
        found = by_name(checks)
        assert {check.status for check in checks} <= {"ok", "note"}, checks
        assert "llama, 3 layers, 16 dimensions" in found["model"].found
        assert "layers 0-2 (3), 24 features each, jumprelu" in found["SAEs"].found
        assert "14 harmful and 14 harmless" in found["prompts"].found
        assert "to download" in found["model files"].found
        assert found["login"].status == "note"
        assert to_do(checks) == []
        assert found["weights"].found == "30 tensors, all that the model needs"
        # Of the model's weights the header was asked for, of the SAEs' nothing.
        assert not list(Path(os.environ["HF_HOME"]).rglob("*.safetensors"))
        assert not any("layer_" in r and "cdn" in r for r in hub.requests)

    def test_a_gated_model_hides_no_other_check(
        self, hub: LocalHub, tiny_llama: Path, config: Callable[..., AuditConfig]
    ):
        publish(hub, tiny_llama, gated=True)
        checks = examine(config())
        found = by_name(checks)
        assert failed(checks) == ["model files"]
        assert "https://huggingface.co/org/tiny" in found["model files"].remedy
        assert "hf auth login" in found["model files"].remedy
        for name in ("model", "chat template", "SAEs", "memory"):
            assert found[name].status == "unknown", name
        for name in ("SAE files", "prompts", "device", "disk"):
            assert found[name].status == "ok", found[name]

    def test_the_token_opens_it_and_is_not_printed(
        self,
        hub: LocalHub,
        tiny_llama: Path,
        config: Callable[..., AuditConfig],
        monkeypatch: pytest.MonkeyPatch,
    ):
        publish(hub, tiny_llama, gated=True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.HfApi.whoami", lambda _: {"name": "someone"})
        checks = examine(config())
        assert failed(checks) == []
        assert by_name(checks)["login"].found == "as someone"
        assert TOKEN not in str(checks)

    def test_a_token_that_the_hub_does_not_know(
        self,
        hub: LocalHub,  # noqa: ARG002  where whoami is refused
        monkeypatch: pytest.MonkeyPatch,
    ):
        monkeypatch.setenv("HF_TOKEN", "hf_old")
        checks = examine(None)
        assert failed(checks) == ["login"]
        assert "hf auth login" in by_name(checks)["login"].remedy

    def test_private_saes_and_a_missing_adapter_are_told_apart(
        self, hub: LocalHub, tiny_llama: Path, config: Callable[..., AuditConfig]
    ):
        publish(hub, tiny_llama)
        hub.publish("org/tiny-saes", tiny_llama / "saes", private=True)
        checks = examine(config(adapter="org/none"))
        assert failed(checks) == ["adapter files", "SAE files"]
        assert by_name(checks)["model"].status == "ok"

    def test_offline_with_everything_cached(
        self,
        hub: LocalHub,
        tiny_llama: Path,
        config: Callable[..., AuditConfig],
        monkeypatch: pytest.MonkeyPatch,
    ):
        from sae_audit.planning.downloads import downloads_of, fetch_all

        publish(hub, tiny_llama)
        fetch_all(downloads_of(config()))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        hub.requests.clear()
        checks = examine(config())
        assert hub.requests == []
        assert {check.status for check in checks} <= {"ok", "note"}, checks
        assert "HF_HUB_OFFLINE" in by_name(checks)["hub"].found
        assert "all in the cache" in by_name(checks)["model files"].found

    def test_offline_with_nothing_cached(
        self,
        hub: LocalHub,
        tiny_llama: Path,
        config: Callable[..., AuditConfig],
        monkeypatch: pytest.MonkeyPatch,
    ):
        publish(hub, tiny_llama)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        checks = examine(config())
        assert failed(checks) == ["model files", "SAE files"]
        assert "org/tiny is not in the cache" in by_name(checks)["model files"].found
        assert by_name(checks)["prompts"].status == "ok"
        assert by_name(checks)["SAEs"].status == "unknown"

    def test_a_cache_without_the_weights(
        self,
        hub: LocalHub,
        tiny_llama: Path,
        config: Callable[..., AuditConfig],
    ):
        publish(hub, tiny_llama)
        examine(config())  # fetches the small files
        hub.down = True
        found = by_name(checks := examine(config()))
        assert failed(checks) == ["model files", "SAE files"]
        assert "no weights of org/tiny" in found["model files"].found
        assert "the cache lacks layer_0/sae_weights.safetensors" in found["SAE files"].found
        assert found["hub"].status == "warning"
        assert "503" in found["hub"].found

    def test_too_little_disk(
        self,
        hub: LocalHub,
        tiny_llama: Path,
        config: Callable[..., AuditConfig],
        monkeypatch: pytest.MonkeyPatch,
    ):
        publish(hub, tiny_llama)
        examine(config())
        monkeypatch.setattr(hub_files, "free_disk_bytes", lambda: 1000)
        checks = examine(config())
        assert failed(checks) == ["disk"]
        assert "HF_HOME" in by_name(checks)["disk"].remedy


class TestLocal:
    @pytest.fixture
    def local(
        self, tiny_llama: Path, config: Callable[..., AuditConfig]
    ) -> Callable[..., dict[str, Check]]:
        def found(*settings: str, **options: Any) -> dict[str, Check]:
            here = {"model": str(tiny_llama), "saes": str(tiny_llama / "saes"), **options}
            return by_name(examine(config(*settings, **here)))

        return found

    def test_saes_of_another_width(self, local: Callable[..., Any], tmp_path: Path):
        for layer in range(3):
            folder = tmp_path / f"layer_{layer}"
            tiny.sae("standard", layer).save_model(folder)
            written = json.loads((folder / "cfg.json").read_text())
            (folder / "cfg.json").write_text(json.dumps({**written, "d_in": 99}))
        found = local(saes=str(tmp_path))
        assert found["SAEs"].status == "failed"
        assert "reads 99 dimensions" in found["SAEs"].found
        assert "sae-audit catalog" in found["SAEs"].remedy
        assert found["prompts"].status == "ok"

    def test_null_saes_of_the_user(
        self, local: Callable[..., Any], tiny_llama: Path, tmp_path: Path
    ):
        own = f"evidence.null_saes=[{tiny_llama / 'saes'}, other_layers]"
        assert local(own)["null SAEs"].status == "ok"
        for layer in range(3):
            folder = tmp_path / f"layer_{layer}"
            tiny.sae("standard", layer).save_model(folder)
            written = json.loads((folder / "cfg.json").read_text())
            (folder / "cfg.json").write_text(json.dumps({**written, "d_in": 99}))
        found = local(f"evidence.null_saes=[{tmp_path}]")["null SAEs"]
        assert found.status == "failed"
        assert "reads 99 dimensions" in found.found
        assert "name SAEs of that width" in found.remedy

    def test_a_layer_that_has_no_sae(self, local: Callable[..., Any]):
        found = local("layers=[0, 7]")
        assert found["SAE files"].status == "failed"
        assert "No SAE for layer 7" in found["SAE files"].found
        assert "it has layers [0, 1, 2]" in found["SAE files"].remedy.replace("It", "it")
        assert found["model"].status == "ok"

    def test_a_layer_that_the_model_lacks(self, local: Callable[..., Any], tmp_path: Path):
        tiny.sae("standard", 5).save_model(tmp_path / "layer_5")
        found = local(saes=str(tmp_path))
        assert "the model has layers 0 to 2" in found["SAEs"].found

    def test_no_chat_template(self, local: Callable[..., Any], tmp_path: Path):
        tiny.model("llama").save_pretrained(tmp_path)
        tiny.tokenizer(template=False).save_pretrained(tmp_path)
        found = local(model=str(tmp_path))
        assert found["chat template"].status == "failed"
        assert "--chat-template" in found["chat template"].remedy
        assert found["refusal tokens"].status == "ok"

    def test_a_template_that_doubles_bos(self, local: Callable[..., Any], tmp_path: Path):
        (tmp_path / "twice.jinja").write_text("{{ bos_token }} " + tiny.TEMPLATE)
        found = local(chat_template=str(tmp_path / "twice.jinja"))
        assert found["chat template"].status == "warning"
        assert "2 BOS tokens" in found["chat template"].found

    def test_refusal_tokens_that_are_not_known_or_not_there(self, local: Callable[..., Any]):
        assert local(refusal_tokens=None)["refusal tokens"].status == "note"
        assert local(refusal_tokens=["Sorry"])["refusal tokens"].status == "failed"

    def test_a_readout_that_is_named_and_one_that_cannot_be_read(self, local: Callable[..., Any]):
        pair = {"refusal_tokens": None, "readout.kind": "token_pair", "readout.acts": ["yes"]}
        found = local(**pair, **{"readout.declines": ["no"]})["token pair"]
        assert found.status == "ok"
        assert found.found == "'no' (declines), 'yes' (acts)"
        found = local(**pair, **{"readout.declines": ["no never"]})["token pair"]
        assert found.status == "failed"
        assert "is 2 tokens" in found.found
        assert found.remedy.startswith("Name one token")

    def test_an_adapter_that_is_not_whole(self, local: Callable[..., Any], tmp_path: Path):
        (tmp_path / "lora").mkdir()
        found = local(adapter=str(tmp_path / "lora"))
        assert "has no adapter_config.json" in found["adapter"].found
        assert found["model"].status == found["SAEs"].status == "ok"

    def test_no_model_and_no_prompts(self, local: Callable[..., Any]):
        found = local(model="./nowhere", **{"prompts.sources": ["./none.jsonl"]})
        assert found["model"].status == "failed"
        assert found["prompt files"].status == "failed"
        assert found["SAEs"].status == found["prompts"].status == "unknown"

    def test_too_few_prompts(self, local: Callable[..., Any]):
        found = local("prompts.audit=40")
        assert found["prompts"].status == "failed"
        assert "prompts.audit=N" in found["prompts"].remedy
        assert found["SAEs"].status == "ok"

    def test_the_categories_of_a_taxonomy(self, local: Callable[..., Any]):
        found = local("categories.taxonomy=smollm2")["categories"]
        assert found.status == "ok"
        assert "11 categories of 32 to 32 requests, and 161 harmless ones" in found.found
        few = local(
            "categories.taxonomy=smollm2", "categories.minimum=32", "categories.per_category=40"
        )
        assert few["categories"].status == "ok"
        few = local(
            "categories.taxonomy=smollm2", "categories.minimum=33", "categories.per_category=40"
        )
        assert few["categories"].status == "warning"
        assert "fewer than 33: safety core, XSTest" in few["categories"].found
        missing = local("categories.taxonomy=nowhere.yaml")
        assert missing["categories"].status == "failed"
        assert "There is no taxonomy nowhere.yaml" in missing["categories"].found
        assert missing["prompts"].status == "ok"
        assert "categories" not in local()

    def test_prompts_that_are_set_aside_are_counted(
        self, local: Callable[..., Any], prompts: Path, tmp_path: Path
    ):
        chat = [{"role": "user", "content": "Tell me"}]
        rows = [{"messages": chat}, {"messages": chat}, {"messages": [*chat, *chat]}]
        (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
        sources = [str(prompts), f"{tmp_path / 'chat.jsonl'}?label=harmful"]
        found = local(**{"prompts.sources": sources})
        assert "set aside: 1 several turns, 1 duplicates" in found["prompts"].found

    @pytest.mark.parametrize(
        ("factor", "status"), [(2.0, "ok"), (1.15, "warning"), (0.5, "failed")]
    )
    def test_memory_against_what_is_free(
        self,
        local: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
        factor: float,
        status: str,
    ):
        monkeypatch.setattr(memory, "program_bytes", lambda: 1_000_000_000)
        monkeypatch.setattr(memory, "free_host_bytes", lambda: int(factor * 1e9))
        found = local()["memory"]
        assert found.status == status, found
        assert bool(found.remedy) == (status != "ok")

    def test_without_fastfm(self, local: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "fastFM.als", None)
        assert local()["interactions"].status == "note"
        found = local("interactions.solver=fm_als")["interactions"]
        assert found.status == "failed"
        assert "interactions.solver=walsh" in found.remedy


class TestMachine:
    def test_alone(self):
        names = {check.name for check in examine(None)}
        assert {"packages", "interactions", "device", "output", "hub", "login", "disk"} == names

    def test_a_device_that_is_not_there(self):
        (first, *_) = checks_machine.check_device("cuda:99")
        assert first.status == "failed"
        assert "--device" in first.remedy

    def test_a_gpu_that_torch_was_not_built_for(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.version, "cuda", None)
        monkeypatch.setattr(checks_machine.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
        found = checks_machine.check_device("auto")
        assert [check.status for check in found] == ["ok", "warning"]
        assert "built for the CPU alone" in found[1].found

    def test_a_package_too_old(self, monkeypatch: pytest.MonkeyPatch):
        real = checks_machine.metadata.version
        monkeypatch.setattr(
            checks_machine.metadata, "version", lambda n: "2.1.0" if n == "torch" else real(n)
        )
        (check,) = checks_machine.check_packages()
        assert check.status == "failed"
        assert check.remedy == "Run pip install 'torch>=2.6'"

    def test_a_folder_that_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(checks_machine.os, "access", lambda *_: False)
        (check,) = checks_machine.check_output(None)
        assert check.status == "failed"

    def test_the_home_folder_is_not_told(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HOME", "/home/someone")
        assert (
            without_home("No /home/someone/a, /srv/home/someone/b") == "No ~/a, /srv/home/someone/b"
        )
        monkeypatch.setenv("HOME", "/")
        assert without_home("No /a/b") == "No /a/b"

    def test_errors_say_what_is_wrong_and_then_what_to_do(self):
        check = failure("x", hub_files.AuditError("It is gone; look for it."))
        assert (check.found, check.remedy) == ("It is gone.", "Look for it.")
        assert (
            failure("x", hub_files.AuditError("It is gone.")).advice == "See to the x: It is gone."
        )


class TestCommand:
    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["doctor", *arguments])

    def test_the_organism_can_be_audited(self):
        done = self.run("organism", "--device", "cpu")
        assert done.exit_code == 0, done.output
        assert "Nothing" in done.output.splitlines()[-1]

    def test_failures_end_in_what_to_do(self):
        done = self.run("organism", "--device", "cuda:99", "--set", "prompts.audit=4000")
        assert done.exit_code == 2
        *_, opening, first, second = done.output.splitlines()
        assert opening == "Not ready yet. What to do, in order:"
        assert first.startswith("1. Name another with --device")
        assert second.startswith("2. Add prompts")

    def test_through_main_the_exit_code_is_the_same(self, monkeypatch: pytest.MonkeyPatch):
        from sae_audit.cli.commands import main

        monkeypatch.setattr("sys.argv", ["sae-audit", "doctor", "organism", "--device", "cuda:99"])
        with pytest.raises(SystemExit) as done:
            main()
        assert done.value.code == 2

    def test_as_json(self):
        done = self.run("organism", "--device", "cuda:99", "--json")
        assert done.exit_code == 2
        checks = json.loads(done.stdout)
        assert {"name", "status", "found", "remedy"} == set(checks[0])
        assert {c["name"] for c in checks if c["status"] == "failed"} == {"device"}
