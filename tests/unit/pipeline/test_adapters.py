"""A run says at which strength its adapter acted and what it was made for, and goes on with no other."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sae_audit import audit, load_run
from sae_audit.cli.verdict_screen import print_first_screen
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.record.run import Run
from sae_audit.report.page import render
from tests.unit.pipeline.planted_audit import planted_config
from tests.unit.subject.test_made_for import OTHER, name_in_adapter, name_in_sae, weights_hash
from tests.visible import seen


def tuned(folder: Path) -> Path:
    """A LoRA adapter, little trained, on the planted model in `folder`."""
    import peft
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    network: Any = AutoModelForCausalLM.from_pretrained(folder / "model")
    made: Any = peft.get_peft_model(
        network, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["up_proj", "down_proj"])
    )
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    made.save_pretrained(folder / "lora")
    return folder / "lora"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> AuditConfig:
    folder = tmp_path_factory.mktemp("adapted")
    planted = planted_config(folder / "it")
    name_in_adapter(tuned(folder / "it"), OTHER, base_name="org/<b>parent")
    adapted = {"adapter": str(folder / "it" / "lora"), "adapter_scale": 0.5}
    settings = {**planted.model_dump(), **adapted, "accept_other_base": True}
    return AuditConfig.model_validate(settings)


@pytest.fixture(scope="module")
def run(config: AuditConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return audit(config, tmp_path_factory.mktemp("run") / "run")


def test_the_record_holds_what_was_decided(run: Run):
    model = load_run(run.folder).manifest.model
    assert model.adapter_scale == 0.5
    (base,) = model.made_for
    assert (base.layers, base.sha256, base.name, base.is_own) == (
        (),
        OTHER,
        "org/<b>parent",
        False,
    )


def test_page_and_terminal_say_it(run: Run, capsys: pytest.CaptureFixture[str]):
    page = seen(render(run))
    sentence = f"The adapter was made for the weights {OTHER[:12]}... (org/<b>parent)"
    assert page.count(sentence) == 2  # the card, the limits
    assert "changes the layers by 0.5 of its trained strength" in page
    care = "Made for other weights than this model's, and accepted all the same: the adapter."
    assert care in page
    print_first_screen(run)
    assert care in " ".join(capsys.readouterr().out.split())


def test_another_strength_does_not_go_on(config: AuditConfig, run: Run):
    other = config.model_copy(update={"adapter_scale": 0.25})
    with pytest.raises(AuditError, match=r"settings \(adapter_scale\)"):
        audit(other, run.folder)
    assert audit(config, run.folder).manifest.model.adapter_scale == 0.5


def test_without_an_adapter_nothing_of_it_is_said(tmp_path: Path, config: AuditConfig):
    settings = {"adapter": None, "adapter_scale": 1.0, "accept_other_base": False}
    plain = AuditConfig.model_validate({**config.model_dump(), **settings})
    made = audit(plain, tmp_path / "run")
    assert made.manifest.model.adapter_scale is None
    assert made.manifest.model.made_for == ()
    page = seen(render(made))
    assert "trained strength" not in page
    assert "Made for other weights" not in page
    assert "does not say which checkpoint the SAEs were trained on" in page


def test_saes_of_this_model_and_of_another(tmp_path: Path):
    config = planted_config(tmp_path / "it")
    model = Path(config.model)
    layers = config.layers
    assert layers is not None
    for layer in layers:
        name_in_sae(model.parent, layer, base_weights_sha256=weights_hash(model))
    unsure = "does not say which checkpoint the SAEs were trained on"
    page = seen(render(audit(config, tmp_path / "own")))
    assert "The SAEs of layers 0, 1 were made for this model's own weights" in page
    assert unsure not in page
    assert "Made for other weights" not in page
    name_in_sae(model.parent, layers[0], base_weights_sha256=OTHER)
    accepting = config.model_copy(update={"accept_other_base": True})
    page = seen(render(audit(accepting, tmp_path / "other")))
    assert "accepted all the same: the SAE of layer 0." in page
    assert "A feature may mean something else here than where it was learned; explained" in page
    assert "The SAE of layer 1 was made for this model's own weights" in page
    assert unsure not in page
