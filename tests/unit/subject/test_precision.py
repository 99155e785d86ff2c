"""In which type a checkpoint is loaded if none is asked for, and that it is said."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_audit.bundled import resolve
from sae_audit.config import AuditConfig
from sae_audit.pipeline.pinning import pinned, resumed
from sae_audit.planning.facts import subject_facts
from sae_audit.planning.memory import precision_of
from sae_audit.presets import build_config
from sae_audit.subject import load_subject
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from sae_audit.subject.model.precision import OWN, has_instructions, precision
from tests import tiny

GIGABYTE = 10**9


def chosen(asked: str = "auto", **changes: Any) -> str:
    """The type of a model of 2.6 billion weights beside 2 GB of SAEs."""
    usual: dict[str, Any] = {
        "own": "bfloat16",
        "n_parameters": 2.6e9,
        "beside_bytes": 2 * GIGABYTE,
        "device": "cpu",
        "placed": False,
        "quantized": False,
        "free_bytes": 32 * GIGABYTE,
    }
    return precision(asked, **usual | changes).dtype


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({}, "float32"),
        ({"own": "float16"}, "float32"),
        ({"own": "float32"}, "float32"),
        ({"own": "float64"}, "float64"),
        ({"device": "cuda:0"}, "bfloat16"),
        ({"placed": True}, "bfloat16"),
        ({"quantized": True}, "bfloat16"),
        # 1.1 x (10.4 + 2) GB and 2.1 GB to spare, of 80% of what is free: 19.8 GB.
        ({"free_bytes": 20 * GIGABYTE}, "float32"),
        ({"free_bytes": 19 * GIGABYTE}, "bfloat16"),
        ({"free_bytes": 20 * GIGABYTE, "beside_bytes": 4 * GIGABYTE}, "bfloat16"),
    ],
)
def test_auto_means(changes: dict[str, Any], dtype: str):
    assert chosen(**changes) == dtype


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "float16"])
def test_what_is_asked_for_is_given(asked: str):
    assert chosen(asked, free_bytes=0) == asked


def test_the_reason_speaks_of_instructions_only_where_they_lack(monkeypatch: pytest.MonkeyPatch):
    for flags, said in (({"avx512_bf16": True}, False), ({"avx2": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        assert has_instructions("bfloat16") is not said
        found = precision(
            "auto",
            own="bfloat16",
            n_parameters=10,
            beside_bytes=0,
            device="cpu",
            placed=False,
            quantized=False,
            free_bytes=32 * GIGABYTE,
        )
        assert ("no instructions" in found.reason) is said


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A checkpoint in bfloat16, as published ones are, with SAEs."""
    tiny.write_checkpoint(tmp_path, "llama")
    tiny.model("llama").to(torch.bfloat16).save_pretrained(tmp_path)
    return tmp_path


def config_of(folder: Path, *settings: str) -> AuditConfig:
    options = {"model": str(folder), "saes": str(folder / "saes"), "device": "cpu"}
    return build_config(None, {**options, "prompts.sources": ["advbench"]}, list(settings))


def test_what_is_loaded_what_is_planned_and_what_is_said_agree(half: Path):
    subject = load_subject(
        str(half), str(half / "saes"), device="cpu", refusal_tokens=["no", "never"]
    )
    assert subject.network.dtype == torch.float32
    assert subject.identity.dtype == "float32"
    assert "in place of the checkpoint's bfloat16" in subject.identity.dtype_reason
    config = config_of(half)
    facts = subject_facts(config)
    assert facts.dtype == "bfloat16"
    assert facts.n_parameters == pytest.approx(subject.network.num_parameters(), rel=0.2)
    assert precision_of(config, facts, "cpu").dtype == "float32"
    # The weights are the file's: bfloat16 in float32 is exact.
    same = Checkpoint(str(half), ModelOptions(dtype="bfloat16")).network("cpu")
    assert same.dtype == torch.bfloat16
    for ours, theirs in zip(subject.network.parameters(), same.parameters(), strict=True):
        assert torch.equal(ours, theirs.float())


def test_the_file_decides_if_the_config_names_no_type(half: Path):
    config = json.loads((half / "config.json").read_text())
    del config["dtype"]
    (half / "config.json").write_text(json.dumps(config))
    assert subject_facts(config_of(half)).dtype == "bfloat16"
    assert Checkpoint(str(half), ModelOptions()).precision("cuda").dtype == "bfloat16"


def test_a_resumed_run_does_not_choose_again(half: Path):
    config = config_of(half)
    subject = load_subject(
        str(half), str(half / "saes"), device="cpu", refusal_tokens=["no", "never"]
    )
    begun = pinned(config, subject, [], []).model_copy(update={"prompts": config.prompts})
    assert begun.dtype == "float32"
    assert resumed(config, begun).dtype == "float32"
    assert resumed(config_of(half, "dtype=bfloat16"), begun).dtype == "bfloat16"


def test_the_bundled_model_is_what_it_was():
    opened = Checkpoint(str(resolve("bundled:organism/base")), ModelOptions())
    assert opened.precision("cpu").dtype == "float32"
    assert opened.precision("cpu").reason == OWN
